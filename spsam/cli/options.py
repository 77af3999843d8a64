"""Options that several commands have, each with one name and one meaning.

`--out` is the folder of results, `--save` the place of what a command writes for the user;
`--workers` make training samples, `--processes` share one command's work, `--jobs` are runs at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from spsam.cli import completion
from spsam.config.numbers import LARGEST, MOST_LISTED, whole
from spsam.errors import InputError, Problem, shortened

Value = TypeVar("Value")

MOST_MEMORY = 1e5
"""GB that no GPU has."""

PRESETS = "smoke, demo, cpu, paper, or a YAML file"
"""The shipped presets, for help texts: help reads no files."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` is seeds 0, 1, 2; `0,4` are these two; `7,` is this one.

    Raises:
        InputError: If it is neither.
    """
    words = [word.strip() for word in text.split(",")]
    listed = [word for word in words if word]
    numbers = [number for word in listed if (number := whole(word)) is not None]
    if not listed or len(numbers) < len(listed):
        raise InputError(
            f"--seeds {shortened(text)}: expected a number (3) or a list (0,1,2), of numbers up to "
            f"{LARGEST}"
        )
    if len(words) == 1:
        if not 1 <= numbers[0] <= MOST_LISTED:
            raise InputError(
                f"--seeds {text}: expected from one to {MOST_LISTED} seeds; seed {text} alone is "
                f"'{text},'"
            )
        return tuple(range(numbers[0]))
    if len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds {text}: a seed is named twice")
    return tuple(numbers)


def parse_folds(text: str) -> tuple[int, ...]:
    """`1` is fold 1, `0,2` are these two, `0..4` are all from the first to the last.

    Raises:
        InputError: If it is none of them, or a fold is named twice.
    """
    numbers: list[int] = []
    for word in text.split(","):
        start, dots, end = word.strip().partition("..")
        first = whole(start)
        last = whole(end) if dots else first
        if first is None or last is None or last - first >= MOST_LISTED:
            raise InputError(
                f"--fold {shortened(text)}: expected a fold (0), a list (0,2) or a range (0..4) "
                f"of at most {MOST_LISTED} folds of numbers up to {LARGEST}"
            )
        numbers += range(first, last + 1)
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"--fold {text}: expected at least one fold, each once")
    return tuple(numbers)


def parse_fold(text: str) -> int:
    """The fold of a command that works on one.

    Raises:
        InputError: If there are several, or it is none.
    """
    folds = parse_folds(text)
    if len(folds) > 1:
        raise InputError(f"--fold {text}: expected one fold here")
    return folds[0]


def parse_memory(text: str) -> float:
    """`24GB` and `24` are 24 GB.

    Raises:
        InputError: If it is no such thing.
    """
    number = text.strip().upper().removesuffix("GB").strip()
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < MOST_MEMORY:
        raise InputError(
            f"--device-memory {shortened(text)}: expected GB of a GPU, such as 24GB or 80"
        )
    return value


def parse_shard(text: str) -> tuple[int, int]:
    """`2/3` is the second of three parts.

    Raises:
        InputError: If it is no such thing.
    """
    index, count = (whole(word) for word in [*text.split("/"), "", ""][:2])
    if text.count("/") == 1 and index is not None and count is not None and 1 <= index <= count:
        return index, count
    raise InputError(f"--shard {shortened(text)}: expected I/N with I from 1 to N, e.g. 2/3")


def parse_externals(entries: Sequence[str]) -> dict[str, Path]:
    """`nnUNet=path/to/label_maps`: a name and a folder, each name once.

    Raises:
        InputError: With every entry that is something else.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for entry in entries:
        name, sign, folder = (part.strip() for part in entry.partition("="))
        if not name or not sign or not folder:
            message = "expected NAME=FOLDER, such as nnUNet=path/to/label_maps"
            problems.append(Problem(f"--external {shortened(entry)}: {message}"))
        elif name in found:
            problems.append(Problem(f"--external {shortened(entry)}: '{name}' is named twice"))
        found[name] = Path(folder)
    if problems:
        raise InputError(problems)
    return found


def words(text: str | None) -> list[str] | None:
    """The words of a list with commas."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def read(
    problems: list[Problem], parse: Callable[[str], Value], text: str | None, default: Value
) -> Value:
    """An option's value; a mistake is collected, so that all are reported at once.

    Args:
        problems: Mistakes are put here.
        parse: Reads the text.
        text: The option, where it is given.
        default: The value where it is not, or is wrong.
    """
    from spsam.config.problems import gather

    if text is not None:
        with gather(problems):
            return parse(text)
    return default


Data = Annotated[str, typer.Option(help="`phantom`, a folder, or the name of an nnU-Net data set.")]
Preset = Annotated[
    str | None,
    typer.Option(
        help=f"Training preset: {PRESETS} [default: demo for phantom, else cpu].",
        autocompletion=completion.presets,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="Number of seeds (3) or a list (0,1,2 or 7,) [default: the study's, else 1]."
    ),
]
Folds = Annotated[
    str | None,
    typer.Option("--fold", help="Folds to run: 0, 0,2 or 0..4 [default: the study's, else 0]."),
]
OneFold = Annotated[str, typer.Option("--fold", help="Fold of the split.")]
SplitName = Annotated[
    str | None,
    typer.Option(
        help="five_fold, all, the name of a split, or a file [default: the preset's or data set's]."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the arm. Repeatable."),
]
Validate = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="EPOCHS",
        help="Score the validation cases every EPOCHS epochs: sets train.validate_every. If the "
        "split has none, an eighth of the training patients is held out.",
    ),
]
InitFrom = Annotated[
    str | None,
    typer.Option(
        "--init-from",
        metavar="RUN",
        help="Begin with the trained blocks of a run or model.zip that fit: fine-tuning.",
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option(help="File with SAM's official weights [default: the arm's].")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Devices = Annotated[int, typer.Option(min=1, help="Number of devices that share each batch.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0, max=1024, help="Processes that prepare training patches [default: the arm's]."
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        "--workers",
        min=1,
        max=1024,
        help="Processes that share the work [default: one per core].",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="Maximum number of simultaneous runs [default: limited by the machine].",
    ),
]
Fit = Annotated[
    bool, typer.Option("--fit", help="Compute batches in the fastest way that fits into memory.")
]
Memory = Annotated[
    float | None, typer.Option(min=0, help="Memory in GB for --fit [default: free memory].")
]
DeviceMemory = Annotated[
    str | None,
    typer.Option(
        metavar="GB",
        help="With --dry-run: plan for a GPU of this memory (24GB), present or not.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of results [default: $SPSAM_HOME, else ./spsam-runs]."),
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--out", "--studies", help="Folder of results [default: $SPSAM_HOME, else ./spsam-runs]."
    ),
]
StudyName = Annotated[
    str | None,
    typer.Option("--name", help="Name of the study [default: derived from data and preset]."),
]
Plugin = Annotated[
    list[Path] | None, typer.Option(help="Folder with your own components. Repeatable.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan without writing anything.")]
Measure = Annotated[
    bool | None,
    typer.Option(
        "--measure/--no-measure",
        help="With --dry-run: run a few steps to measure memory and time [default: for studies "
        "and train].",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
