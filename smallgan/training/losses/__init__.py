"""Adversarial losses, one file each; their rows are in `smallgan.tables.losses`. softplus(x) = log(1 + e^x)."""
