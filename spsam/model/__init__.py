"""Modules and tensors: SAM, the slots around it, the network. Knows no files and no configuration."""
