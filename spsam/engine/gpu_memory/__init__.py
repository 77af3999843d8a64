"""What a training takes of a GPU's memory, worked out on a machine without one."""
