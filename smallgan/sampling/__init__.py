"""Images from a checkpoint: sample k depends on (seed, k) alone."""
