"""Images as tensors, the held-out split, and public datasets."""
