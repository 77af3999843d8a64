"""How a command of the documents is run.

`spsam ...` and `python -m spsam ...` run with the real command line, in this process, and end with
exit code 0. Their words stay as they are, but for:

- The presets `cpu` and `demo` have the sizes of `smoke`: files of these names in the working folder
  hide the shipped ones, as the documents describe (`place.py`). `train` trains with these sizes.
- `ablate`, `sweep`, `prompts` and `pretrain`, and `train` of several folds, train or compute much:
  they get `--dry-run`. `ablate` and `sweep` read every arm and file and build every network for
  it. `--no-measure` leaves out the steps that a study's dry run measures.
- `bench` gets the sizes of `smoke`, one repetition, and the processor as its device.
- `RUN`, `RUN0`, `RUN1` and `STUDY` stand for names that a reader has. `report` draws no figures.

What cannot run here is named in `NOT_HERE`, with the reason.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Mapping

# Beginning of a command -> why it is not run.
NOT_HERE: Mapping[str, str] = {
    "pip install": "installs packages; the tests of the package install the wheel",
    "nox -s demo": "installs an environment; continuous integration runs it",
    "nox -s tests": "installs an environment and runs these tests",
    "spsam --install-completion": "writes into the user's shell",
    "nox -s ways": "installs an environment; the session runs the page that names it",
    "mlflow ui": "a server, which Ctrl-C ends",
    "spsam ui": "a server, which Ctrl-C ends",
    "optuna-dashboard": "a server of another package",
    "MLFLOW_TRACKING_URI=": "a server on another machine",
    "spsam sweep my_space.yaml --data path/to/ACDC --storage": "a database on another machine",
    "spsam ablate S9 spsam-runs/sweeps/": "wants the result of thirty trials",
    "spsam report record": "writes into the checkout",
    "spsam train S9 --data path/to/ACDC --preset cpu --devices": "wants two GPUs",
    "spsam doctor --data": "refuses what is not the official file of weights",
    "spsam predict my_arm": "wants a run with components of one's own",
    "spsam predict S10/0": "wants a run with components of one's own",
    "spsam predict S9 path/to/AMOS22/": "wants runs on SAM's official weights",
}
_DRY = ("ablate", "sweep", "prompts", "pretrain")
_BENCH = "--backbone sam_tiny --size 32 --depth 2 --classes 4 --repeats 1 --device cpu"


def reason(command: str) -> str | None:
    """Why a command is not run; nothing where it is."""
    return next((why for start, why in NOT_HERE.items() if command.startswith(start)), None)


def words(command: str, placeholders: Mapping[str, str]) -> list[str]:
    """What `spsam` is given for a command.

    Raises:
        AssertionError: It is no command of spsam.
    """
    command = re.sub(r"^python -m spsam\b", "spsam", command)
    program, *given = shlex.split(command, comments=True)
    assert program == "spsam", f"neither a command of spsam nor in NOT_HERE: {command}"
    for name, value in placeholders.items():
        given = [re.sub(rf"\b{name}\b", value, word) for word in given]
    given = [path for word in given for path in (sorted(glob.glob(word)) or [word])]
    return [*given, *_added(given)]


def _added(given: list[str]) -> list[str]:
    verb = given[0]
    added = []
    several = verb == "train" and "--fold" in given and ".." in given[given.index("--fold") + 1]
    if (verb in _DRY or several) and "--dry-run" not in given:
        added.append("--dry-run")
    if verb == "ablate" or several:
        added.append("--no-measure")
    if verb == "bench":
        added += _BENCH.split()
    if verb == "report" and given[1:2] not in (["trace"], ["verify"], ["ledger"], ["record"]):
        added += ["--no-figures", "--no-pdf"]
    return added
