"""Scores: features are extracted once, and each metric is a pure function of them."""
