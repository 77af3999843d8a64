"""Components of the slot `input_adapter`, one class per file."""
