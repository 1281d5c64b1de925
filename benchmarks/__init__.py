"""Speed, measured as ratios in one run; never asserted in a test."""
