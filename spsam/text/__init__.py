"""Text from files and users, made fit for where it goes. A lowest layer: it imports nothing."""
