"""The table of latent priors: what z is drawn from, in training and in sampling."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from augment.core.table import Table
from smallgan.tables.options import Options

MAX_POINTS = 4096  # The embedding takes the distance of each to each


class LatentOptions(Options):
    """What every latent prior has."""

    def dim(self, _num_images: int) -> int | None:
        """Return the length of z that suits so many training images; None: whatever the model has."""
        return None


class NormalOptions(LatentOptions):
    """Standard normal, N(0, I)."""

    name: Literal["normal"] = "normal"


class BourgainOptions(LatentOptions):
    """BourGAN (Xiao et al. 2018): Gaussians around training images, embedded so that latents lie as far apart as these.

    `model.z_dim` is then the number of coordinates of the embedding. Where another one is given, a random projection
    makes it.
    """

    name: Literal["bourgain"] = "bourgain"
    num_points: int = Field(default=1000, ge=2, le=MAX_POINTS)
    """Training images that are embedded, drawn at random; all of them where there are fewer."""
    num_sets: int = Field(default=5, ge=1)
    """Random sets of each size; the embedding has so many coordinates times ceil(log2 of the points)."""
    metric: Literal["pixels", "vgg16", "squeezenet1_1", "shipped"] = "pixels"
    """Distance of two images: Euclidean, of pixels or of the last layer's means of a network."""
    std: float = Field(default=0.01, ge=0)
    """Standard deviation of each Gaussian; the centres have a root mean square of 1 in each coordinate."""
    scale: Literal["geometric", "released"] = "geometric"
    """Distance of images that the regularizer `distance` wants for 1 of latents: the geometric mean over pairs, or the
    root of the largest ratio, as in the released code."""

    def dim(self, num_images: int) -> int:
        """Return the number of coordinates of the embedding of so many images."""
        return self.num_sets * max(math.ceil(math.log2(min(self.num_points, num_images))), 1)


@dataclass(frozen=True)
class LatentRow:
    """A distribution that latents are drawn from."""

    name: str
    title: str
    options: type[LatentOptions]
    has: frozenset[str]
    """What regularizers may need of it: `normal` where it is N(0, I), `distances` where those of latents are those of
    images."""
    fit: str | None = None
    """(options, training pixels N x S x S x 3, z_dim, seed, device) -> `smallgan.training.latent.Latent`; None: a
    standard normal, which is fitted to nothing."""
    load: str | None = None
    """(tensors of a checkpoint by name) -> a `smallgan.sampling.prior.Prior`; None: a standard normal."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Dotted recipe keys and their defaults with this prior, where they differ from the sections' own."""


LATENTS: Table[LatentRow] = Table(
    "latent prior",
    [
        LatentRow("normal", "standard normal", NormalOptions, frozenset({"normal"})),
        LatentRow(
            "bourgain",
            "Bourgain mixture",
            BourgainOptions,
            frozenset({"distances"}),
            fit="smallgan.training.bourgain:fit",
            load="smallgan.sampling.mixture:load_mixture",
            defaults={"regularizers.distance": {}},  # without it the mixture covers fewer modes than N(0, I)
        ),
    ],
)
