"""Training: loop.py is THE loop, read it first; a trainer is one step."""
