"""`python -m spsam` is the command `spsam`."""

from __future__ import annotations

from spsam.cli.main import main

if __name__ == "__main__":
    main()
