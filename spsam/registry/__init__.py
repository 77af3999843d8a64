"""Cards, the catalogue, parameters from signatures, and arms. Only `resolve` imports by name."""
