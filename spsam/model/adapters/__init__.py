"""Components of the slot `adapter`, one class per file, and their placement in SAM."""
