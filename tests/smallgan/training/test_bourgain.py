"""The Bourgain mixture against values by hand and the theorem, and its distance loss."""

import math

import numpy as np
import pytest
import torch
from sampled_models import pixels

from augment.errors import InputError, UsageError
from smallgan.core.rng import Stream
from smallgan.data.images import to_images
from smallgan.sampling.mixture import Mixture
from smallgan.tables.latents import LATENTS, BourgainOptions
from smallgan.tables.recipe import Recipe, load_recipe, with_latent_dim
from smallgan.training.bourgain import embed, fit, pairwise, random_sets, rescaled, scale_of
from smallgan.training.data import load_data
from smallgan.training.regularizers.distance import distance_loss

CPU = torch.device("cpu")


def on_a_line(*places):
    return pairwise(np.array(places, np.float32)[:, None])


def mixture(centres, std=0.0):
    return Mixture(centres=np.array(centres, np.float32), std=np.array(std, np.float32), scale=np.array(1, np.float32))


def test_four_points_and_three_sets_by_hand():
    sets = np.array([[True, False, False, False], [False, True, True, False], [False] * 4])
    found = embed(on_a_line(0, 1, 3, 7), sets)
    assert found.tolist() == [[0, 1, 0], [1, 0, 0], [3, 0, 0], [7, 4, 0]]


def test_sets_halve_from_scale_to_scale_and_give_the_published_dimensions():
    sets = random_sets(1000, 400, np.random.default_rng(0))
    assert sets.shape == (10 * 400, 1000)
    shares = sets.reshape(10, -1).mean(axis=1)
    np.testing.assert_allclose(shares, 0.5 ** np.arange(1, 11), rtol=0.05)
    # 1,000 and 2,000 images have 50 and 55 coordinates in the published runs
    assert [BourgainOptions(num_points=4096).dim(count) for count in (2, 1000, 2000)] == [5, 50, 55]
    assert BourgainOptions(num_points=1000).dim(50_000) == 50


@pytest.mark.parametrize("metric", ["equal", "cycle", "line of powers"])
def test_distances_of_a_small_metric_space_are_kept_up_to_the_bound(metric):
    count, num_sets = 64, 24  # The theorem asks for O(log n) sets of each size
    steps, powers = np.arange(count), 1.2 ** np.arange(count)
    steps = np.abs(np.subtract.outer(steps, steps))
    distances = {
        "equal": 1.0 * (steps > 0),
        "cycle": 1.0 * np.minimum(steps, count - steps),
        "line of powers": np.abs(np.subtract.outer(powers, powers)),
    }[metric]
    embedded = embed(distances, random_sets(count, num_sets, np.random.default_rng(1)))
    upper = np.triu_indices(count, 1)
    # No coordinate is longer than the metric itself: |d(x, S) - d(y, S)| <= d(x, y)
    apart = np.abs(embedded[:, None] - embedded[None])[upper]
    assert (apart <= distances[upper][:, None] + 1e-9).all()
    ratios = pairwise(embedded.astype(np.float32))[upper] / distances[upper]
    assert ratios.max() / ratios.min() <= 4 * math.log2(count)


@pytest.mark.parametrize("z_dim", [6, 40])
def test_points_are_centred_with_a_mean_square_of_one_and_projected_where_z_is_of_another_length(z_dim):
    points = np.random.default_rng(0).normal(3, 2, (200, 6))
    found = rescaled(points, z_dim, np.random.default_rng(1))
    assert found.shape == (200, z_dim)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    assert np.square(found).mean() == pytest.approx(1)
    if z_dim == 6:
        ratios = pairwise(found.astype(np.float32))[0, 1:] / pairwise(points.astype(np.float32))[0, 1:]
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)


def test_the_scale_by_hand():
    images = np.array([[0, 1, 2], [1, 0, 24], [2, 24, 0.0]])
    latents = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])
    assert scale_of(images, latents, "geometric") == pytest.approx(2)  # the cube root of 1 * 1 * 8
    assert scale_of(images, latents, "released") == pytest.approx(math.sqrt(8))


def test_distances_of_many_coordinates_are_those_of_plain_differences():
    rows = np.random.default_rng(0).normal(5, 1, (6, 5000)).astype(np.float32)
    wanted = np.linalg.norm(rows[:, None].astype(np.float64) - rows[None], axis=2)
    np.testing.assert_allclose(pairwise(rows), wanted, atol=1e-9)


def test_moments_of_the_mixture():
    prior = mixture([[-1, 0], [1, 0]], 0.5)
    z = prior.drawn(3, Stream.TRAIN_LATENTS, 0, 40_000, 2)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), [[1.25, 0], [0, 0.25]], atol=0.03)  # between centres 1, within 0.25


def test_a_sample_depends_on_its_seed_and_k_alone():
    prior = mixture(np.arange(20).reshape(10, 2), 0.1)
    many = prior.latents([(5, k) for k in range(8)], 2)
    np.testing.assert_array_equal(prior.latents([(5, 6)], 2), many[6:7])
    assert len(np.unique(many, axis=0)) == 8
    assert not np.array_equal(prior.latents([(6, 6)], 2), many[6:7])
    assert {tuple(row) for row in mixture([[1, 2]]).latents([(0, 0), (0, 1)], 2)} == {(1.0, 2.0)}


def test_the_distance_loss_and_its_gradient_by_hand():
    x, other = torch.tensor([[0.0], [1.0]], requires_grad=True), torch.tensor([[math.e], [2.0]])
    latents = [torch.tensor([[0.0, 0.0], [5.0, 0.0]]), torch.tensor([[0.6, 0.8], [4.0, 0.0]])]  # both pairs 1 apart
    loss = distance_loss([x, other], latents, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.5)  # the mean of (log e - log 1)^2 and (log 1 - log 1)^2
    torch.testing.assert_close(x.grad, torch.tensor([[-1 / math.e], [0.0]]))  # -2 log r / r, halved by the mean
    assert distance_loss([x, other], latents, math.e).item() == pytest.approx(0.5)
    assert distance_loss([x[:1], other[:1]], [latents[0][:1], latents[1][:1]], math.e).item() == pytest.approx(0)


def test_images_and_latents_that_coincide_leave_it_finite():
    images = torch.zeros(3, 4, requires_grad=True)
    loss = distance_loss([images, torch.zeros(3, 4)], [torch.zeros(3, 2), torch.zeros(3, 2)], 1.0)
    loss.backward()
    assert loss.item() == 0
    assert images.grad.isfinite().all()


def test_latents_are_fitted_to_pixels_or_to_features():
    shown = pixels(12)
    by_pixels = fit(BourgainOptions(num_points=9, num_sets=2), shown, 8, 0, CPU)
    assert by_pixels.prior.centres.shape == (9, 8)
    # As many points as images: all of them, in their order
    whole = fit(BourgainOptions(num_sets=30), shown, 120, 0, CPU)
    images = to_images(torch.from_numpy(shown)).flatten(1).numpy()
    upper = np.triu_indices(12, 1)
    there, here = pairwise(images)[upper], pairwise(whole.prior.centres)[upper]
    assert np.std(np.log(here / there)) < 0.15  # noise images are about equally far apart, and so are their points
    by_features = fit(BourgainOptions(metric="shipped", num_sets=2), shown, 8, 0, CPU)
    assert by_features.metric[0].network.name == "shipped"
    assert by_features.metric[0](to_images(torch.from_numpy(shown))).shape == (12, 256)
    assert not np.array_equal(
        by_features.prior.centres, fit(BourgainOptions(num_sets=2), shown, 8, 0, CPU).prior.centres
    )


def test_images_that_cannot_be_embedded_are_refused():
    same = np.zeros((5, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="all the same"):
        fit(BourgainOptions(), same, 15, 0, CPU)
    with pytest.raises(InputError, match="two training images"):
        fit(BourgainOptions(), same[:1], 15, 0, CPU)
    points = np.arange(10, dtype=np.float32).reshape(5, 1, 1, 2)
    with pytest.raises(UsageError, match=r"latent\.metric shipped.*use pixels"):
        fit(BourgainOptions(metric="shipped"), points, 15, 0, CPU)


def test_z_is_as_long_as_the_embedding_unless_the_recipe_says_otherwise():
    assert with_latent_dim(load_recipe(None), 1000).model.z_dim == 100
    assert with_latent_dim(load_recipe(None, {"latent": "bourgain"}), 1000).model.z_dim == 50
    assert with_latent_dim(load_recipe(None, {"latent": "bourgain", "model.z_dim": 9}), 1000).model.z_dim == 9
    assert with_latent_dim(load_recipe(None, {"method.name": "bsa"}), 1000).model is None


def test_the_prior_brings_the_loss_and_keeps_out_what_makes_no_sense_beside_it():
    assert list(load_recipe(None, {"latent": "bourgain"}).regularizers.chosen()) == ["distance"]
    assert list(load_recipe(None).regularizers.chosen()) == []
    assert not load_recipe(None, {"latent": "bourgain", "regularizers.distance": None}).regularizers.chosen()
    with pytest.raises(UsageError, match=r"regularizers\.distance: it needs latents of the prior bourgain"):
        load_recipe(None, {"regularizers.distance": {}})
    with pytest.raises(UsageError, match=r"regularizers\.warm_start: it needs latents of the prior normal"):
        load_recipe(None, {"latent": "bourgain", "regularizers.warm_start": {}})
    with pytest.raises(UsageError, match=r"latent: read by the method adversarial; this recipe trains by bsa"):
        load_recipe(None, {"method.name": "bsa", "latent": "bourgain"})
    with pytest.raises(UsageError, match=r"latent\.num_points: read by the latent prior bourgain"):
        load_recipe(None, {"latent.num_points": 100})
    with pytest.raises(UsageError, match="bourgian"):
        load_recipe(None, {"latent": "bourgian"})


def test_the_grid_of_gaussians_is_25_clusters_of_latents_too():
    recipe = load_recipe(None, {"data.source": "grid:bourgan", "latent": "bourgain"})
    points = load_data(recipe, CPU).mixture.pixels
    recipe = with_latent_dim(recipe, len(points))
    assert (recipe.model.name, recipe.model.z_dim) == ("mlp", 50)
    z = fit(BourgainOptions(num_points=1250), points, 55, 0, CPU).prior.centres
    modes = np.array([z[first::25].mean(axis=0) for first in range(25)])  # points take the Gaussians in turn
    nearest = np.linalg.norm(z[:, None] - modes, axis=2).argmin(axis=1)
    assert (nearest == np.arange(1250) % 25).all()


def test_only_the_standard_normal_is_fitted_to_nothing():
    assert [row.name for row in LATENTS if row.fit is None] == ["normal"]
    assert Recipe().latent.name == "normal"
