"""smallgan: augment a small image set, train a GAN on it, and score the result honestly."""

__version__ = "0.1.0"
__all__ = ["__version__"]
