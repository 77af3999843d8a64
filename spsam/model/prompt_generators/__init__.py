"""Components of the slot `prompt_generator`, one class per file."""
