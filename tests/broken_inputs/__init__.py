"""The corpus of broken inputs: one module a family, one entry a kind."""
