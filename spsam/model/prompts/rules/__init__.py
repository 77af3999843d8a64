"""How points are chosen: of arrays on the host, of tensors on any device."""
