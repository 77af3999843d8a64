"""Cards, the catalogue, parameters read from signatures, arms. Only `resolve` imports by name."""
