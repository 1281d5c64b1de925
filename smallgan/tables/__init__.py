"""The tables of models, methods, losses, regularizers, metrics and networks, and the recipe. Torch-free."""
