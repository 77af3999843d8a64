"""A data set, an engine and a listener that cost nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

from spsam.config.schema import ArmConfig
from spsam.data.cases import Case, DataSet
from spsam.data.plan import Plan
from spsam.data.preparation.store import PreparedStore
from spsam.data.split import Split
from spsam.data.volume import Geometry, Volume
from spsam.engine.run_spec import NetworkSize, RunSpec
from spsam.errors import InputError
from spsam.results.rows import Row, write_rows
from spsam.studies.backend import Backend, OnEpoch, OnNote, OnProgress
from spsam.studies.progress_events import Ending, ProgressListener, RunLabel

GEOMETRY = Geometry(
    shape=(4, 32, 32),
    spacing=(10.0, 1.0, 1.0),
    origin=(0.0, 0.0, 0.0),
    direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
)


def _no_volume() -> Volume:
    raise AssertionError("a plan reads no volume")


def _geometry() -> Geometry:
    return GEOMETRY


def _nothing(arm: str, epoch: int) -> None:
    """Lets an epoch be."""


def tiny_dataset() -> DataSet:
    """Eight patients with headers only."""
    return DataSet(
        name="tiny",
        cases=tuple(Case(f"case{n}", f"patient{n}", _no_volume, _geometry) for n in range(8)),
        class_names=("background", "left", "right"),
        raw_ids=(0, 1, 2),
        channel_names=("MR",),
        modality="MR",
        fingerprint="0123456789abcdef",
        notes=("two patients are missing",),
    )


def score(arm: str, seed: int) -> float:
    """The Dice that the fake engine gives."""
    return 0.5 + 0.05 * int(arm.partition(":")[0].removeprefix("S")) + 0.01 * seed


class FakeBackend(Backend):
    """Does what the engine does to a run's folder, in no time.

    Args:
        act: Called with (arm, epoch) at the end of every epoch; may raise.
    """

    def __init__(self, act: Callable[[str, int], None] = _nothing) -> None:
        self.act = act
        self.executed: list[str] = []
        self.runs: list[RunSpec] = []
        self.prepared = 0
        self.bad_weights = False

    modules = ()

    def device(self, name: str) -> str:
        if name not in ("auto", "cpu"):
            raise InputError(f"--device {name}: expected auto or cpu")
        return "cpu"

    def file_sha256(self, path: Path) -> str:
        return f"hash of {path.read_bytes()[:99]!r}"

    def size(self, arm: ArmConfig, dataset: DataSet, plan: Plan) -> NetworkSize:
        blocks = {"adapter": 10, "prompt_generator": 100}
        return NetworkSize(blocks, 110, 1110)

    def check_weights(self, arm: ArmConfig, dataset: DataSet, plan: Plan, checkpoint: Path) -> None:
        if self.bad_weights:
            raise InputError(f"{checkpoint}: is of another model")

    def prepare(
        self, dataset: DataSet, plan: Plan, folder: Path, progress: Callable[[int, int], None]
    ) -> PreparedStore:
        self.prepared += 1
        progress(1, 1)
        return cast(PreparedStore, "no store")

    def training_notes(
        self,
        dataset: DataSet,
        split: Split,
        fold: int,
        store: PreparedStore,
        *,
        validated: bool = False,
    ) -> tuple[str, ...]:
        return ()

    def execute(
        self, run: RunSpec, *, on_epoch: OnEpoch, on_progress: OnProgress, on_note: OnNote
    ) -> None:
        arm = run.config.arm
        self.executed.append(arm.name)
        self.runs.append(run)
        folder = run.folder
        done = len(folder.read_metrics())
        for epoch in range(done, 2):
            metrics = {"epoch": epoch, "loss/total": 1.0 / (1 + epoch)}
            folder.checkpoint.write_text(str(epoch))
            with folder.metrics.open("a") as log:
                log.write(json.dumps(metrics) + "\n")
            on_progress("train", epoch + 1, 2)
            on_epoch(metrics)
            self.act(arm.name, epoch)
        folder.preview.write_bytes(b"picture")
        on_progress("evaluate", 1, 1)
        write_rows(folder.rows, self.rows(run))

    def rows(self, run: RunSpec) -> list[Row]:
        config = run.config
        return [
            Row(
                run_id=run.folder.run_id,
                seed=config.seed,
                fold=config.data.fold,
                case=case,
                patient=case,
                class_id=k,
                class_name=name,
                metric="dice",
                convention="nnunet",
                value=score(config.arm.name, config.seed) if k else 1.0,
            )
            for case in run.split.test
            for k, name in enumerate(config.data.class_names)
        ]


class LoggedBackend(FakeBackend):
    """The same in any process: what it does is seen in files.

    Args:
        file: Has a line for every run that was computed to its end.
        seconds: That an epoch takes.
        fails: Arms whose runs raise.
        dies: Arms whose process gets a signal after an epoch or its end, so many times.
    """

    def __init__(
        self,
        file: Path,
        seconds: float = 0,
        fails: Collection[str] = (),
        dies: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(self._act)
        self.file = file
        self.seconds = seconds
        self.fails = fails
        self.dies = dies or {}

    def log(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def execute(
        self, run: RunSpec, *, on_epoch: OnEpoch, on_progress: OnProgress, on_note: OnNote
    ) -> None:
        super().execute(run, on_epoch=on_epoch, on_progress=on_progress, on_note=on_note)
        self._perhaps_die(run.config.arm.name)
        with self.file.open("a") as file:
            file.write(f"{run.config.arm.name} {run.config.seed}\n")

    def _act(self, arm: str, epoch: int) -> None:
        time.sleep(self.seconds)
        if arm in self.fails:
            raise RuntimeError(f"no luck with {arm}")
        self._perhaps_die(arm)

    def _perhaps_die(self, arm: str) -> None:
        if arm in self.dies:
            deaths = self.file.with_name(f"deaths of {arm}")
            count = len(deaths.read_text()) if deaths.exists() else 0
            how, times = self.dies[arm]
            if count < times:
                deaths.write_text("x" * (count + 1))
                print(f"{arm} is about to die", flush=True)
                os.kill(os.getpid(), how)


class Recorder(ProgressListener):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.ends: list[tuple[str, int, Ending, str]] = []
        self.begun: list[tuple[str, int, bool]] = []
        self.labels: list[str] = []
        self.epochs: list[int] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        self.begun.append((run.arm, run.seed, resumed))
        self.labels.append(str(run))

    def epoch(self, metrics: dict[str, float]) -> None:
        self.epochs.append(int(metrics["epoch"]))

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        self.ends.append((run.arm, run.seed, ending, detail))

    def endings(self) -> dict[str, str]:
        """Arm -> how its last run ended."""
        return {arm: ending for arm, _, ending, _ in self.ends}


def read_json(path: Path) -> Any:
    """A file's content."""
    return json.loads(path.read_text())
