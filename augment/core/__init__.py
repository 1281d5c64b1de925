"""What every part of augment needs and that knows no image: files, names, randomness, threads, spelling."""
