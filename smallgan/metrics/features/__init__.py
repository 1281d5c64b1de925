"""Feature networks: features are extracted once and shared by all metrics."""
