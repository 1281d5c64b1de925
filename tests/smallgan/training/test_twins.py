"""CDC's and DCL's terms against values worked out by hand, and what each of them moves."""

import math

import pytest
import torch
from torch import nn

from smallgan.models.biggan import SelfAttention
from smallgan.models.levels import levels, recorded
from smallgan.tables.recipe import load_recipe
from smallgan.tables.regularizers import DContrastOptions, DistanceConsistencyOptions, GContrastOptions
from smallgan.training.anchors import patch_level
from smallgan.training.regularizers.contrast import DContrast, GContrast, contrast
from smallgan.training.regularizers.distance_consistency import DistanceConsistency, distance_consistency
from smallgan.training.regularizers.twins import cosines
from smallgan.training.scratch import fresh_networks
from smallgan.training.step import StepContext

NONE = torch.Generator()


def maps(*rows):
    """Vectors as maps B x 2 x 1 x 1."""
    return torch.tensor(rows, dtype=torch.float32)[:, :, None, None]


def softmax(*values):
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def networks(model, size=32, num_classes=1, **own):
    values = {"model.name": model, "model.base_width": 8, "data.size": size} | own
    return fresh_networks(load_recipe(None, values), [str(each) for each in range(num_classes)])


def test_cosines_are_of_whole_maps():
    one = torch.tensor([[[[3.0, 4.0]]], [[[0.0, 2.0]]]])  # 2 x 1 x 1 x 2
    assert cosines(one, one[:1] * 7).flatten().tolist() == pytest.approx([1.0, 0.8])


def test_distance_consistency_is_the_divergence_of_softmaxes_over_the_others():
    # The source's first image has cosines 1 and 0 to the others, the target's 0 and 1; each of the others by hand too.
    source, target = [maps((1, 0), (1, 0), (0, 1))], [maps((1, 0), (0, 1), (1, 0))]
    wanted = 0.0
    for of_source, of_target in (((1, 0), (0, 1)), ((1, 0), (0, 0)), ((0, 0), (1, 0))):
        p, q = softmax(*of_source), softmax(*of_target)
        wanted += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 3
    assert distance_consistency(target, source, torch.tensor([0, 0, 0])).item() == pytest.approx(wanted, rel=1e-5)
    assert distance_consistency(source, source, torch.tensor([0, 0, 0])).item() == pytest.approx(0, abs=1e-7)


def test_each_image_has_the_level_that_was_drawn_for_it():
    source = [maps((1, 0), (1, 0), (0, 1)), maps((1, 0), (0, 1), (1, 0))]
    same, swapped = source, source[::-1]
    assert distance_consistency(same, source, torch.tensor([0, 1, 0])).item() == pytest.approx(0, abs=1e-7)
    first = distance_consistency([swapped[0]] * 2, [source[0]] * 2, torch.tensor([0, 0, 0]))
    assert distance_consistency(swapped, source, torch.tensor([0, 0, 0])).item() == pytest.approx(first.item())
    assert first.item() > 0.01


def test_the_gradient_of_distance_consistency_is_that_of_finite_differences_and_the_sources_is_none():
    draws = torch.Generator().manual_seed(0)
    target, source = (torch.randn(3, 2, 2, 2, generator=draws, requires_grad=True) for _ in range(2))
    distance_consistency([target], [source], torch.tensor([0, 0, 0])).backward()
    assert source.grad is None
    step = torch.zeros_like(target)
    step[1, 0, 1, 0] = 1e-2
    up, down = (
        distance_consistency([target.detach() + s * step], [source], torch.tensor([0] * 3)).item() for s in (1, -1)
    )
    assert target.grad[1, 0, 1, 0].item() == pytest.approx((up - down) / 2e-2, rel=2e-2, abs=2e-5)


def test_contrast_is_cross_entropy_of_the_positive_against_what_is_counted():
    positive, negatives = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0], [5.0, -1.0]])
    counted = torch.tensor([[True, True], [False, True]])
    e = math.exp
    first, second = e(2) / (e(2) + e(1) + e(3)), 1 / (1 + e(-1))
    wanted = -(math.log(first) + math.log(second)) / 2
    assert contrast(positive, negatives, counted).item() == pytest.approx(wanted)
    without = -(math.log(e(2) / (e(1) + e(3))) + math.log(1 / e(-1))) / 2
    assert contrast(positive, negatives, counted, with_positive=False).item() == pytest.approx(without)


def test_an_image_without_others_has_no_contrast():
    positive, negatives = torch.tensor([2.0, 1.0], requires_grad=True), torch.zeros(2, 1)
    none = torch.zeros(2, 1, dtype=torch.bool)
    assert contrast(positive, negatives, none).item() == 0
    left_out = contrast(positive, negatives, none, with_positive=False)
    left_out.backward()
    assert left_out.item() == 0
    assert torch.equal(positive.grad, torch.zeros(2))
    one = torch.tensor([[True], [False]])
    assert contrast(positive, negatives, one, with_positive=False).item() == pytest.approx(-2)


def test_the_gradient_of_contrast_pulls_by_the_softmax_less_one():
    positive = torch.tensor([1.0], requires_grad=True)
    negatives = torch.tensor([[0.0, 2.0]], requires_grad=True)
    contrast(positive, negatives, torch.ones(1, 2, dtype=torch.bool)).backward()
    p, *n = softmax(1, 0, 2)
    assert positive.grad.tolist() == pytest.approx([p - 1])
    assert negatives.grad[0].tolist() == pytest.approx(n)


class Linear(nn.Module):
    """A generator and a discriminator of 1 x 1 maps whose levels can be worked out by hand."""

    z_dim, num_classes, size = 2, 0, 1

    def __init__(self, matrix):
        super().__init__()
        self.first, self.last = nn.Identity(), nn.Identity()
        self.middle = nn.Linear(2, 2, bias=False)
        self.middle.weight.data = torch.tensor(matrix, dtype=torch.float32)

    @property
    def ordered_layers(self):
        return [[self.first], [self.middle], [self.last]]

    def forward(self, hidden):
        return self.last(self.middle(self.first(hidden)))


def context(generator, discriminator=None, count=4):
    def score(images):
        return discriminator(images).sum(dim=1)

    labels, real = torch.zeros(count, dtype=torch.int64), torch.randn(count, 2, generator=NONE.manual_seed(5))
    return StepContext(3, real, real, labels, None, labels, score, generator, seed=1)


def test_the_terms_of_the_generator_are_those_of_the_same_latents_through_both():
    trained, source = Linear([[1, 2], [0, 1]]), Linear([[1, 0], [0, 1]])
    here = context(trained)
    z = DistanceConsistency(DistanceConsistencyOptions(), trained, NONE, source).twins.latents(here)
    target, before = (net.middle(z)[:, :, None, None] for net in (trained, source))
    kl = DistanceConsistency(DistanceConsistencyOptions(), trained, NONE, source)(here)
    assert kl.item() == pytest.approx(distance_consistency([target], [before], torch.tensor([0] * 4)).item())
    term = GContrast(GContrastOptions(temperature=0.5), trained, NONE, source)(here)
    logits = cosines(target, before) / 0.5
    assert term.item() == pytest.approx(nn.functional.cross_entropy(logits, torch.arange(4)).item())
    (kl + term).backward()
    assert trained.middle.weight.grad.abs().min() > 0
    assert source.middle.weight.grad is None


def test_the_term_of_the_discriminator_is_of_fakes_twins_and_reals_and_moves_it_alone():
    trained, source, discriminator = Linear([[1, 2], [0, 1]]), Linear([[1, 0], [0, 1]]), Linear([[0, 1], [2, 0]])
    here = context(trained, discriminator)
    penalty = DContrast(DContrastOptions(temperature=2.0), discriminator, NONE, source)
    penalty.levels = [discriminator.middle]
    z = penalty.twins.latents(here)
    fake, twin, real = (discriminator.middle(x).detach() for x in (trained(z), source(z), here.real))
    wanted = 0.0
    for one, other in zip(fake, twin, strict=True):
        p = torch.cosine_similarity(one, other, dim=0).item() / 2
        n = [torch.cosine_similarity(one, each, dim=0).item() / 2 for each in real]
        wanted -= math.log(softmax(p, *n)[0]) / 4
    term = penalty(here)
    assert term.item() == pytest.approx(wanted, rel=1e-5)
    term.backward()
    assert discriminator.middle.weight.grad.abs().sum() > 0
    assert trained.middle.weight.grad is None


@pytest.mark.parametrize(
    ("model", "of_g", "of_d"),
    [
        ("dcgan", [(16, 8), (8, 16)], [(8, 16), (16, 8), (32, 4)]),
        ("biggan", [(32, 8), (32, 16), (32, 32)], [(32, 16), (32, 8), (32, 8), (32, 8)]),
        ("fastgan", [(128, 8), (96, 16), (48, 32)], [(24, 32), (48, 16), (96, 8)]),
    ],
)
def test_the_levels_of_each_model_are_maps_from_the_latent_and_from_the_image_on(model, of_g, of_d):
    generator, discriminator = (each.eval() for each in networks(model))
    with torch.no_grad(), recorded(levels(generator)[1:]) as made, recorded(levels(discriminator)) as seen:
        discriminator(generator(torch.randn(2, generator.z_dim)))
    assert [(each.shape[1], each.shape[2]) for each in made] == of_g
    assert [(each.shape[1], each.shape[2]) for each in seen] == of_d


@pytest.mark.parametrize(
    ("model", "size", "side"), [("dcgan", 64, 8), ("biggan", 64, 8), ("fastgan", 64, 8), ("fastgan", 32, 8)]
)
def test_patches_are_scored_on_maps_of_an_eighth_of_the_side(model, size, side):
    discriminator = networks(model, size)[1]
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    layer, channels = patch_level(discriminator)
    with torch.no_grad(), recorded([layer]) as seen:
        discriminator.eval()(torch.zeros(2, 3, size, size))
    assert seen[0].shape[1:] == (channels, side, side)
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())


def test_of_a_block_with_attention_the_block_is_the_level():
    generator, discriminator = networks("biggan", **{"model.attention": 16})
    assert any(isinstance(each, SelfAttention) for each in generator.modules())
    assert not any(isinstance(each, SelfAttention) for net in (generator, discriminator) for each in levels(net))


@pytest.mark.slow
def test_the_levels_of_a_compiled_network_are_recorded_too():
    discriminator = networks("dcgan")[1].eval()
    discriminator.compile(backend="eager")
    images = torch.zeros(2, 3, 32, 32)
    with torch.no_grad():
        discriminator(images)  # compiled without anything to record
        with recorded(levels(discriminator)) as made:
            discriminator(images)
    assert [each.shape[2] for each in made] == [16, 8, 4]
