"""A mixed dataset: planned, built, continued after a stop, previewed and exported."""
