"""Modules and tensors: SAM, its slots and the networks, independent of the configuration."""
