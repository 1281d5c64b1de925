"""An equal mixture of Gaussians as the prior of latents; its tensors are in the checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from smallgan.core.rng import Stream, rng
from smallgan.sampling.prior import Address, Latents, Prior
from smallgan.tables.dotted import load
from smallgan.tables.latents import LATENTS

PREFIX = "latent."  # Of its tensors in a checkpoint and in an exported file


@dataclass(frozen=True, eq=False, kw_only=True)
class Mixture(Prior):
    """One Gaussian around each centre, all of one standard deviation and equally likely."""

    name: str = "bourgain"
    """Of its row in the table of latent priors."""
    centres: Latents
    """M x Z."""
    std: NDArray[np.float32]
    """Standard deviation of each coordinate around a centre; one number."""
    scale: NDArray[np.float32]
    """Distance of images that a distance of 1 between latents stands for; one number."""

    @property
    def is_normal(self) -> bool:
        """False."""
        return False

    @property
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """What a checkpoint and an exported file hold of it, by name."""
        return {"centres": self.centres, "std": self.std, "scale": self.scale}

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"prior": self.name, "num_centres": len(self.centres), "std": float(self.std)}

    def drawn(self, seed: int, stream: Stream, position: int, count: int, z_dim: int) -> Latents:  # noqa: ARG002
        """Return latents N x Z of one address; Z is that of the centres."""
        draws = rng(seed, stream, position)
        noise = draws.standard_normal((count, self.centres.shape[1]), dtype=np.float32)
        return self.centres[draws.integers(len(self.centres), size=count)] + self.std * noise

    def latents(self, addresses: Sequence[Address], z_dim: int) -> Latents:
        """Return latents N x Z, each drawn at its own address (seed, k)."""
        return np.concatenate([self.drawn(seed, Stream.SAMPLE_LATENTS, k, 1, z_dim) for seed, k in addresses])


def fitted_prior(state: Mapping[str, Any] | None, tensors_of: Callable[[str], Mapping[str, Tensor]]) -> Prior | None:
    """Return the prior that a checkpoint's state names; None where it names none.

    `tensors_of` returns the tensors whose names begin with a prefix, without it. Raises KeyError and ValueError.
    """
    if state is None or "latent" not in state:
        return None
    prior: Prior = load(str(LATENTS[state["latent"]].load))(tensors_of(PREFIX))
    return prior


def load_mixture(tensors: Mapping[str, Tensor]) -> Mixture:
    """Return the mixture of the tensors that `Mixture.tensors` names. Raises KeyError and ValueError."""
    centres, std, scale = (tensors[name].numpy() for name in ("centres", "std", "scale"))
    if centres.ndim != 2:
        raise ValueError(f"the centres of its latents have the shape {centres.shape}, expected M x Z")
    return Mixture(centres=centres, std=std, scale=scale)
