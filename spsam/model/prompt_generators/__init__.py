"""Components of the slot `prompt_generator`, one class a file."""
