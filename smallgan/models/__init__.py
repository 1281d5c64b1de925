"""Networks: DCGAN, BigGAN and their adapters, and the protocols they fulfil."""
