"""SAM with places for adapters and depth positions, and loading of checkpoints."""
