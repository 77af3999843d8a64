"""Components of the slot `prompt`, one class a file, and prompts from label maps."""
