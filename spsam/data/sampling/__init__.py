"""What training draws: patches of prepared volumes, and procedural pictures for `sam_tiny`."""
