"""A recipe or a grid of recipes carried out: planned, run stage by stage, resumable."""
