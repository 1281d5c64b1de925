"""One image: read and written, made square, hashed, compared with its mirror image."""
