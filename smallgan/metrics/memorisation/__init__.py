"""Copies of training images: rates, nearest images and the sheets that show them."""
