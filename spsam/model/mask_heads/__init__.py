"""Components of the slot `mask_head`, one class per file."""
