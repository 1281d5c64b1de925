"""Matching against brute force on sets that a few lines can work out: who gets which sample, and when."""

import doctest
import itertools

import numpy as np
import pytest
import torch

from smallgan.core.rng import Stream, normal
from smallgan.models.perceptual import Perceptual
from smallgan.tables.methods import IMLEOptions
from smallgan.training import matching
from smallgan.training.matching import Matcher, Rounds, greedy, optimal, squared_distances

CPU = torch.device("cpu")
SIZE, COUNT, SEED = 32, 6, 3


def plain(colours):
    """Images of one colour each, N x 3 x S x S, of colours N x 3."""
    return torch.as_tensor(colours)[:, :, None, None].expand(-1, -1, SIZE, SIZE)


def generate(latents, _labels):
    """A generator whose sample has the colour that the latent says."""
    return plain(torch.tanh(latents))


def colours(count=COUNT):
    return np.random.default_rng(1).integers(0, 256, (count, 3)).astype(np.uint8)


def pixels(count=COUNT):
    return np.broadcast_to(colours(count)[:, None, None], (count, SIZE, SIZE, 3))


def matcher(count=COUNT, labels=None, perceptual=None, mirror=False, images=None, **options):
    settings = IMLEOptions(**{"eps": 0, "keep": None, "assignment": "greedy"} | options)
    labels = torch.zeros(count, dtype=torch.int64) if labels is None else torch.tensor(labels)
    images = pixels(count) if images is None else images
    return Matcher(images, labels, torch.zeros(count, 3), settings, SEED, CPU, "fp32", perceptual, mirror=mirror)


def pool(number, count):
    return torch.from_numpy(normal(SEED, Stream.POOL_LATENTS, number, (count, 3)))


def by_hand(latents, count=COUNT):
    """Distances of training images to samples: colours less the mean training colour, brought to length 1."""
    real = torch.from_numpy(colours(count) / 127.5 - 1).float()
    one, other = (torch.nn.functional.normalize(each - real.mean(dim=0)) for each in (real, torch.tanh(latents)))
    return torch.cdist(one, other)


def places(one, latents):
    """Which of the pool's latents each image has."""
    return [(latents == own).all(dim=1).nonzero().item() for own in one.latents]


def test_docstring_examples_hold():
    assert doctest.testmod(matching).failed == 0


def test_rounds_begin_as_worked_out_by_hand():
    rounds = Rounds(first=5, shortest=3, longest=10)  # of 3, 6, 10, 10 ... steps
    begins = {step: number for step in range(45) if (number := rounds.starting(step)) is not None}
    assert begins == {5: 0, 8: 1, 14: 2, 24: 3, 34: 4, 44: 5}
    assert [Rounds(0, 30, 20).starting(step) for step in (0, 29, 30, 60)] == [0, None, 1, 2]
    assert Rounds(0, 1, 200).steps(10_000) == 200


@pytest.mark.parametrize(("passing", "wanted"), [(30, 30), (1000, 40), (5, 16)])
def test_the_pool_is_bounded_by_the_work_of_a_round_and_by_the_images(passing, wanted):
    assert matcher(8, pool=5).num_fresh(passing) == wanted  # from 2 x 8 to 5 x 8


def test_distances_by_matrix_product_are_those_of_the_formula():
    draws = torch.Generator().manual_seed(0)
    one, other = torch.randn(7, 5, generator=draws), torch.randn(4, 5, generator=draws)
    wanted = (one[:, None] - other[None]).square().sum(dim=2)
    torch.testing.assert_close(squared_distances(one, other), wanted)
    assert (squared_distances(one, one).diagonal() >= 0).all()


@pytest.mark.parametrize("size", [1, 3, 8])
def test_greedy_takes_for_each_row_the_nearest_column_that_is_free(size):
    matrix = np.random.default_rng(0).random((8, 11))
    found = greedy(matrix[first : first + size] for first in range(0, 8, size)).tolist()
    taken = []
    for row in matrix:
        taken.append(min(set(range(11)) - set(taken), key=row.__getitem__))
    assert found == taken
    assert matrix.max() < 1, "the matrix is not written to"


def test_optimal_has_the_least_sum_of_all_assignments():
    matrix = np.random.default_rng(0).random((4, 6))
    sums = {chosen: matrix[range(4), chosen].sum() for chosen in itertools.permutations(range(6), 4)}
    assert tuple(optimal([matrix[:3], matrix[3:]]).tolist()) == min(sums, key=sums.get)


def test_optimal_takes_what_is_no_number_last():
    assert optimal([np.array([[np.nan, 1.0, 3.0], [0.0, np.inf, 2.0]])]).tolist() == [1, 0]
    assert sorted(optimal([np.full((2, 2), np.nan)]).tolist()) == [0, 1]  # the loop tells that the run diverged


@pytest.mark.parametrize("rows", [1, 4, 256])
def test_each_image_gets_the_sample_that_brute_force_gives_it(monkeypatch, rows):
    monkeypatch.setattr(matching, "_ROWS", rows)
    monkeypatch.setattr(matching, "_CHUNK", 5)
    one, latents = matcher(assignment="hungarian"), pool(4, 7)
    one.match(4, 7, generate)
    wanted, every = by_hand(latents).numpy(), np.array(list(itertools.permutations(range(7), COUNT)))
    sums = wanted[np.arange(COUNT), every].sum(axis=1)
    assert places(one, latents) == every[sums.argmin()].tolist()
    assert one.distance.item() == pytest.approx(sums.min() / COUNT, rel=1e-4)


def test_greedy_order_is_random_by_the_round_and_no_sample_is_used_twice():
    latents, found = pool(0, 6), []
    for number in range(4):
        one = matcher()
        one._pool = lambda _number, _count: (latents, torch.zeros(6, dtype=torch.int64))
        one.match(number, 6, generate)
        found.append(places(one, latents))
    assert all(sorted(each) == list(range(COUNT)) for each in found)  # as many samples as images: each is used
    assert len({tuple(each) for each in found}) > 1


def test_the_same_round_matches_the_same_and_another_round_other_latents():
    one, same, other = matcher(), matcher(), matcher()
    for each, number in ((one, 1), (same, 1), (other, 2)):
        each.match(number, 20, generate)
    assert torch.equal(one.latents, same.latents)
    assert not torch.equal(one.latents, other.latents)


@pytest.mark.parametrize("eps", [0.3, 1.0])
def test_samples_near_an_image_are_rejected_and_counted(eps):
    one, latents = matcher(eps=eps), pool(0, 30)
    real = torch.from_numpy(np.arctanh(np.clip(colours() / 127.5 - 1, -0.999, 0.999))).float()
    between = by_hand(real)
    between.fill_diagonal_(torch.inf)
    radius = eps * between.amin(dim=1).median()
    assert one.radius == pytest.approx(radius.item(), rel=1e-2)
    nearest = by_hand(latents).amin(dim=0)
    assert (nearest - one.radius).abs().min() > 1e-4, "none on the edge"
    near = set((nearest <= one.radius).nonzero().flatten().tolist())
    assert 0 < len(near) < 24
    one.match(0, 30, generate)
    assert one.rejected.item() == pytest.approx(len(near) / 30)
    assert not near.intersection(places(one, latents))


def test_where_too_few_are_left_the_farthest_of_the_rejected_are_matched():
    one, latents = matcher(eps=100), pool(0, 9)
    one.match(0, 9, generate)
    assert one.rejected.item() == 1
    farthest = by_hand(latents).amin(dim=0).argsort(descending=True)[:COUNT]
    assert sorted(places(one, latents)) == sorted(farthest.tolist())


def test_an_image_is_matched_within_its_class():
    labels = [0, 1, 1, 2, 0, 1]
    one, latents = matcher(labels=labels), pool(0, 12)
    seen = []
    one.match(0, 12, lambda z, y: seen.append(y) or generate(z, y))
    of_pool = torch.cat(seen)
    assert of_pool.tolist() == labels * 2  # as frequent as in the set
    assert [of_pool[place].item() for place in places(one, latents)] == labels


def test_a_mirror_image_is_matched_where_it_is_nearer():
    wide = np.zeros((COUNT, SIZE, SIZE, 3), np.uint8)
    wide[:, :, : SIZE // 2] = 40 * np.arange(1, COUNT + 1, dtype=np.uint8)[:, None, None, None]
    turned = torch.from_numpy(wide[:, :, ::-1].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    found = {}
    for mirror in (False, True):
        one = matcher(images=wide, mirror=mirror, assignment="hungarian")
        one.match(0, COUNT, lambda _z, _y: turned)
        found[mirror] = one
    assert not found[False].mirrored.any()
    assert found[True].mirrored.all()
    assert found[True].distance < 1e-3 < found[False].distance


def test_last_latents_stand_in_the_next_pool():
    one = matcher(keep=0, assignment="hungarian")
    one.match(0, 8, generate)
    distances = [one.distance.item()]
    for number in range(1, 5):
        one.match(number, 8, generate)
        distances.append(one.distance.item())
    assert distances == sorted(distances, reverse=True)  # what each image has stays to be chosen
    assert distances[-1] < distances[0]
    before = one.latents.clone()
    noise = torch.from_numpy(normal(SEED, Stream.KEPT_LATENTS, 7, (COUNT, 3)))
    half = matcher(keep=0.6)
    half.latents.copy_(before)
    latents, labels = half._pool(7, 12)
    assert (len(latents), len(labels)) == (12 + COUNT, 12 + COUNT)
    torch.testing.assert_close(latents[12:], 0.8 * before + 0.6 * noise)


def test_features_with_a_network_have_length_one_and_know_their_image():
    torch.manual_seed(0)
    stages = [torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3, 2), torch.nn.ReLU()), torch.nn.Conv2d(12, 3, 3, 2)]
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)
    one = matcher(5, images=images, perceptual=Perceptual("toy", stages))
    real = one._real[0]
    assert real.shape == (5, 3 * 16**2 + 160 + 3 * 16)  # 12 x 4 x 4 are projected to 160; 3 x 4 x 4 need not be
    torch.testing.assert_close(real.norm(dim=1), torch.ones(5))
    blocks = real.split([768, 160, 48], dim=1)
    energy = [block.square().sum().item() for block in blocks]
    assert energy[0] == pytest.approx(energy[1] + energy[2], rel=0.15)  # pixels count as much as all layers
    again = one._describe(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)
    torch.testing.assert_close(again, real, rtol=1e-3, atol=1e-4)


def test_a_single_image_is_matched_too():
    one = matcher(1, eps=0.5)
    one.match(0, 2, generate)
    assert one.radius == 0
    assert torch.isfinite(one.latents).all()
