"""Optional dependencies: the group that a command needs, and how to install it."""

from __future__ import annotations

from importlib.util import find_spec

from spsam.errors import InputError

# The groups of pyproject.toml, and the modules by which each is known to be installed.
EXTRAS = {
    "dicom": ("highdicom",),
    "mlflow": ("mlflow",),
    "report": ("statsmodels",),
    "slurm": ("submitit",),
    "sweep": ("cmaes", "optuna"),
    "view": ("ipyniivue",),
}


def missing(extra: str, what: str) -> str:
    """Why something cannot be done without an extra; empty where the extra is installed.

    Args:
        extra: A group of `EXTRAS`.
        what: What needs it, as the subject of a sentence.
    """
    absent = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if not absent:
        return ""
    return f"{what} needs {' and '.join(absent)}: pip install 'spsam[{extra}]'"


def require(extra: str, what: str) -> None:
    """Refuses what cannot be done without an extra.

    Raises:
        InputError: If a package of it is not installed.
    """
    message = missing(extra, what)
    if message:
        raise InputError(message)
