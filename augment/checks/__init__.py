"""Looking before doing: what `inspect` reports and what `augment` and `train` check first."""
