"""Point rules for arrays on the host and tensors on any device, and mask prompts."""
