"""Components of the slot `depth_pos_embed`, one class per file."""
