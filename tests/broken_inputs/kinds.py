"""What a kind of broken input is, and the place it is made in."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Command = list[object]

# What a run that failed may leave or change: no checkpoint, no scores.
RECORDS = (
    *(f"out/runs/*/{name}" for name in ("run.json", "config.yaml", "error.txt", "metrics.jsonl")),
    "out/runs/.locks/*",
    "out/prepared/*.lock",
)
# Of a folder of predictions: the record, and what is about all volumes.
PREDICTED = ("out/predict.json", "out/itksnap-labels.txt")
# What a preparation that was interrupted leaves: whole files.
PIECES = (
    "out/prepared/*.lock",
    *(f"out/prepared/*.partial/*.{ending}" for ending in ("json", "b2nd", "npy")),
)


@dataclass
class Place:
    """An empty folder, which is the current one, and what cannot be put there as a file.

    Attributes:
        folder: The folder; whatever is in it when the command begins must be there unchanged when
            the command has ended.
        patch: Undone after the test.
        request: Of the test, for fixtures that only some kinds need.
        room: Bytes that no file may grow beyond while the command runs: what a full disk does.
        denied: Names of files that cannot be read while it runs; root may read any.
        protected: Whether nothing can be made below `out` while it runs.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    request: pytest.FixtureRequest
    room: int | None = None
    denied: tuple[str, ...] = ()
    protected: bool = False

    @property
    def out(self) -> Path:
        """Where results would go; not there yet."""
        return self.folder / "out"

    @property
    def home(self) -> Path:
        """Results with two finished runs of S9 on a small ACDC, `run0` and `run1`; not to be
        changed."""
        found: Path = self.request.getfixturevalue("two_runs")
        return found

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """Within, the disk and its files are as this place says."""
        with self.patch.context() as patch, self._full():
            patch.setattr(Path, "open", _refusing(Path.open, errno.EACCES, self._is_denied))
            patch.setattr(Path, "mkdir", _refusing(Path.mkdir, errno.EROFS, self._is_protected))
            yield

    def _is_denied(self, path: Path) -> bool:
        return path.name in self.denied

    def _is_protected(self, path: Path) -> bool:
        return self.protected and self.out.name in path.parts

    @contextmanager
    def _full(self) -> Iterator[None]:
        if self.room is None:
            yield
            return
        resource = pytest.importorskip("resource", reason="no limits on this system")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _refusing(
    whole: Callable[..., Any], code: int, refused: Callable[[Path], bool]
) -> Callable[..., Any]:
    """The method, failing where a path is refused."""

    def method(self: Path, *arguments: Any, **named: Any) -> Any:
        if refused(self):
            raise OSError(code, os.strerror(code), str(self))
        return whole(self, *arguments, **named)

    return method


@dataclass(frozen=True)
class Kind:
    """One way in which an input can be broken.

    Attributes:
        name: Of the test.
        make: Breaks the input and gives the command lines, each of which must say it.
        says: A pattern that the output has: what is wrong, where, and what to do.
        code: The exit code: 2 the input is wrong, 1 something failed, 0 a warning.
        leaves: Patterns of files that may be left or changed, where something failed: records of
            it, and finished pieces of work that the next command goes on from.
    """

    name: str
    make: Callable[[Place], Sequence[Command]]
    says: str
    code: int = 2
    leaves: tuple[str, ...] = ()


def check(data: object, *more: object) -> Command:
    return ["data", "check", data, "--processes", 1, *more]


def prepare(place: Place, data: object, *more: object) -> Command:
    return ["data", "prepare", data, "--processes", 1, "--out", place.out, *more]


def train(place: Place, *more: object, arm: object = "S1") -> Command:
    return ["train", arm, "--preset", "smoke", "--out", place.out, *more]


def ablate(place: Place, *more: object) -> Command:
    return ["ablate", *more, "--preset", "smoke", "--out", place.out]


def predict(place: Place, *named: object) -> Command:
    return ["predict", *named, "--save", place.out]


def evaluate(place: Place, *more: object) -> Command:
    """Of the folders that `label_maps` writes."""
    folders = [place.folder / "made", place.folder / "wanted"]
    return ["evaluate", *folders, "--save", place.out, *more]
