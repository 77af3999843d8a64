"""Benchmarks of a training step, by part and compared with the same network on official modules."""
