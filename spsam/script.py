"""Check that a script may start processes."""

from __future__ import annotations

import multiprocessing

from spsam.errors import InputError


def check_not_imported(call: str) -> None:
    """Reject a call at the top level of a script that is imported by a process it started.

    A started process imports the script that started it. Without the check, it would repeat the
    call and wait for a lock that its parent holds.

    Args:
        call: The call, for the message, e.g. `spsam.ablate`.

    Raises:
        InputError: If this process is importing its script.
    """
    # Set by Python's `multiprocessing.spawn` while it imports the script.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            f"{call} starts processes, and each imports this script: put the call inside "
            'if __name__ == "__main__":'
        )
