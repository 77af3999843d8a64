"""Components of the slot `adapter`, one class a file, and where they are placed."""
