"""What a step costs, part by part, and against the same network on unmodified modules."""
