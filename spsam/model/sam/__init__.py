"""SAM with sites for adapters and depth positions, and loading of checkpoints."""
