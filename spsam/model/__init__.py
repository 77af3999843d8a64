"""Modules and tensors: SAM, the slots around it, the network. No files, no configuration."""
