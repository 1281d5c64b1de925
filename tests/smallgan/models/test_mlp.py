import pytest
import torch

from augment.errors import UsageError
from smallgan.models.mlp import build, load
from smallgan.tables.models import MLPOptions


def networks(size=1, seed=0, **options):
    return build(MLPOptions(**options), size, 1, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("activation", ["relu", "leaky", "maxout"])
@pytest.mark.parametrize("size", [1, 32])
def test_shapes_and_that_a_checkpoint_describes_its_generator(size, activation):
    settings = {"z_dim": 3, "base_width": 8, "depth": 3, "activation": activation, "d_activation": activation}
    generator, discriminator = networks(size, g_norm="batch", d_width=5, d_depth=1, **settings)
    images = generator(torch.randn(4, 3))
    assert images.shape == ((4, 2, 1, 1) if size == 1 else (4, 3, 32, 32))
    assert discriminator(images).shape == (4,)
    again = load(generator.description)
    again.load_state_dict(generator.state_dict())
    z = torch.randn(4, 3)
    assert torch.equal(again.eval()(z), generator.eval()(z))


def test_points_are_not_bounded_and_images_are():
    for size, bounded in ((1, False), (32, True)):
        generator, _ = networks(size)
        with torch.no_grad():
            for each in generator.parameters():
                each.mul_(100)
        assert (generator(torch.randn(64, 2)).abs().max() <= 1) == bounded


def test_maxout_takes_the_largest_of_five_linear_functions():
    _, discriminator = networks(d_width=1, d_depth=1, d_activation="maxout")
    first, _, last = discriminator.layers
    point = torch.tensor([[0.3, -1.2]])
    pieces = point @ first.weight.T + first.bias
    assert pieces.shape == (1, 5)
    expected = pieces.max() * last.weight.squeeze() + last.bias.squeeze()
    assert torch.allclose(discriminator(point[:, :, None, None]), expected)


def test_weights_follow_their_draws_and_a_size_it_does_not_make_is_refused():
    assert torch.equal(networks(seed=5)[0].layers[0].weight, networks(seed=5)[0].layers[0].weight)
    assert not torch.equal(networks(seed=5)[0].layers[0].weight, networks(seed=6)[0].layers[0].weight)
    with pytest.raises(UsageError, match="size 128: MLP is built for 1, 32, 64 px"):
        networks(128)
