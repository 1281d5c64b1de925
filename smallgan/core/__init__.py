"""What every part needs and that knows no subject: device, randomness, run folders, checkpoints, weights."""
