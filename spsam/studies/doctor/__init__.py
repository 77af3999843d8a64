"""What a machine has and lacks for this software, found out before a training does."""
