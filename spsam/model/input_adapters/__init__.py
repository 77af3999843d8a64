"""Components of the slot `input_adapter`, one class a file."""
