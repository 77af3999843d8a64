"""Training: one loop, its steps, losses and batches, and what they take."""
