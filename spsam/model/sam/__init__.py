"""SAM with hooks for depth: image encoder, prompt encoder and mask decoder, checkpoints."""
