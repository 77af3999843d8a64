"""Text from files and users, converted for each kind of output. It imports no other package."""
