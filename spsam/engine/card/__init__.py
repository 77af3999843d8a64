"""What a training takes of a card's memory, worked out on a machine without one."""
