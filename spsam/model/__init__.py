"""Modules and tensors: SAM, its slots and the networks. No files, no configuration."""
