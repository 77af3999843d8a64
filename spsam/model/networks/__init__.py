"""Components of the slot `network`, one class a file."""
