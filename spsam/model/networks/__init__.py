"""Components of the slot `network`, one class per file."""
