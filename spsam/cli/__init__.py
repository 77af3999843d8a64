"""Commands: each parses its options, calls one function and prints. None imports torch at once."""
