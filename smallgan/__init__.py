"""smallgan: augment a small image set, train a GAN on it, and score the result honestly."""

from smallgan.core.version import __version__

__all__ = ["__version__"]
