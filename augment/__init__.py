"""Build mixed image sets (originals, augmented, synthetic) at exact ratios, each image with a record of its making.

numpy, Pillow and OpenCV only: this package imports neither torch nor smallgan.
"""
