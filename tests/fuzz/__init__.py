"""Mutated inputs, drawn from a seed: each is refused in words, or read as others read it.

`nox -s fuzz` runs as many as the project promises; `test_fuzz.py` a share of each kind.
"""
