"""Options shared by several commands, each with one name and one meaning.

`--out` is the folder of results; `--save` is the path of a file or folder that a command writes for
the user. `--workers` counts processes that prepare training samples, `--processes` counts processes
that share the work of one command, and `--jobs` counts simultaneous runs.
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
"""Upper bound of GPU memory in GB; larger values are rejected."""

PRESETS = "smoke, demo, fast, cpu, paper, or a YAML file"
"""The shipped presets, spelled out for help texts: `--help` reads no files."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parses seeds: `3` means 0, 1, 2; `0,4` means 0 and 4; `7,` means 7 alone.

    Raises:
        InputError: If the text is neither a number nor a list, or repeats a seed.
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
                f"--seeds {text}: expected from one to {MOST_LISTED} seeds; write '{text},' for "
                f"seed {text} alone"
            )
        return tuple(range(numbers[0]))
    if len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds {text}: a seed is repeated")
    return tuple(numbers)


def parse_folds(text: str) -> tuple[int, ...]:
    """Parses folds: `1` means fold 1, `0,2` means both, `0..4` means all from 0 to 4.

    Raises:
        InputError: If the text is none of these, or repeats a fold.
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
        raise InputError(f"--fold {text}: expected at least one fold, each only once")
    return tuple(numbers)


def parse_fold(text: str) -> int:
    """Parses the fold of a command that uses a single fold.

    Raises:
        InputError: If the text is not a fold, or specifies several.
    """
    folds = parse_folds(text)
    if len(folds) > 1:
        raise InputError(f"--fold {text}: expected a single fold")
    return folds[0]


def parse_memory(text: str) -> float:
    """Parses GPU memory: `24GB` and `24` both mean 24 GB.

    Raises:
        InputError: If the text is not a number of GB between 0 and `MOST_MEMORY`.
    """
    number = text.strip().upper().removesuffix("GB").strip()
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < MOST_MEMORY:
        raise InputError(
            f"--device-memory {shortened(text)}: expected GB of GPU memory, e.g. 24GB or 80"
        )
    return value


def parse_shard(text: str) -> tuple[int, int]:
    """Parses a shard: `2/3` is the second of three parts.

    Raises:
        InputError: If the text is not of the form I/N with 1 <= I <= N.
    """
    index, count = (whole(word) for word in [*text.split("/"), "", ""][:2])
    if text.count("/") == 1 and index is not None and count is not None and 1 <= index <= count:
        return index, count
    raise InputError(f"--shard {shortened(text)}: expected I/N with I from 1 to N, e.g. 2/3")


def parse_externals(entries: Sequence[str]) -> dict[str, Path]:
    """Parses `NAME=FOLDER` entries, such as `nnUNet=path/to/label_maps`; names must be unique.

    Raises:
        InputError: With every invalid or repeated entry.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for entry in entries:
        name, sign, folder = (part.strip() for part in entry.partition("="))
        if not name or not sign or not folder:
            message = "expected NAME=FOLDER, e.g. nnUNet=path/to/label_maps"
            problems.append(Problem(f"--external {shortened(entry)}: {message}"))
        elif name in found:
            problems.append(Problem(f"--external {shortened(entry)}: '{name}' is repeated"))
        found[name] = Path(folder)
    if problems:
        raise InputError(problems)
    return found


def words(text: str | None) -> list[str] | None:
    """Splits a comma-separated list."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def read(
    problems: list[Problem], parse: Callable[[str], Value], text: str | None, default: Value
) -> Value:
    """Parses an option; errors are collected, so that all of them are reported together.

    Args:
        problems: Receives the errors.
        parse: Parses the text.
        text: The option's text; None if the option is not given.
        default: The value if the option is not given or is invalid.
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
