"""Components of the slot `prompt`, one class per file, and prompt extraction from label maps."""
