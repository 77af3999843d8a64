"""Training: the loop, its steps, losses and batches, and its memory and time."""
