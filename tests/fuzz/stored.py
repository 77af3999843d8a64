"""What spsam stores, damaged: refused, made up for, or exactly what was stored."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spsam.checksums import to_sealed_json
from spsam.data.cases import Case
from spsam.data.preparation.store import PreparedStore
from spsam.engine.checkpoint import last_sound, previous, read_whole, save_whole
from spsam.engine.exchange.archive import Archive, write_archive
from spsam.errors import SpsamError
from spsam.model.sam.state_file import read_state
from spsam.reporting.study_data import StudyData
from spsam.reporting.study_reader import read_study
from spsam.results.cell_rows import CellRows
from spsam.results.measures import read_measures
from spsam.results.panels import read_panels
from spsam.results.rows import Row
from spsam.results.run_folder import RunFolder
from spsam.studies.predicted import Predicted, volume_hash
from tests.data.layouts import blocks, random_image, write_image
from tests.data.stores import write_store
from tests.fuzz.campaign import Attempt, Campaign, Make, OtherError
from tests.fuzz.trees import mutated, scratched, written
from tests.reporting.recorded import record
from tests.reporting.store import make_study

_RUN = "S1run000"
_STATE: dict[str, Any] = {
    "about": {"config": "text", "plan": {"a": [1, 2.5, None]}},
    "progress": {"steps": 3, "history": [{"loss": 0.5}]},
    "blocks": {"a.weight": torch.arange(600.0).reshape(20, 30), "b": torch.ones(3).bool()},
    "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "groups": [{"lr": 0.1}]},
}


@dataclass(frozen=True)
class Kind:
    """Something stored.

    Attributes:
        files: Those that are damaged, relative to its folder.
        read: Everything that is read from the folder, as plain values; raises `SpsamError`.
        less: Whether what was read may be less than what was stored, when something is said.
    """

    files: tuple[str, ...]
    read: Callable[[Path], Any]
    less: Callable[[Any, Any], bool] = lambda found, stored: False


def _run(folder: Path) -> Any:
    run = RunFolder(folder, _RUN)
    about = run.read()
    rows = run.read_rows()
    for file in (run.metrics, run.config, run.measures, run.panels):
        run.verify(file)
    arrays = [vars(each) for each in (read_measures(run.measures), *read_panels(run.panels))]
    return about, [vars(row) for row in rows], run.read_metrics(), run.config.read_text(), arrays


def _checkpoint(folder: Path) -> Any:
    return read_whole(folder / "checkpoint.pt")


def _two_checkpoints(folder: Path) -> Any:
    state, note, broken = last_sound(folder / "checkpoint.pt")
    if state is None:
        raise SpsamError("; ".join(broken))
    return state, bool(note)


def _store(folder: Path) -> Any:
    store = PreparedStore(folder)
    found = []
    for name in store.ids:
        case = store.case(name)
        about = {key: value for key, value in vars(case).items() if key not in ("image", "label")}
        found.append((about, case.image[...], case.label[...]))
    return store.index, found


def _cell(folder: Path) -> Any:
    return [vars(row) for row in CellRows(folder, "cell").read()]


def _predicted(folder: Path) -> Any:
    scan = folder / "a.nii.gz"
    case = Case("a", "p", _never, _never, (scan,))
    return _predictions(folder).finished({"a": case})


def _predictions(folder: Path) -> Predicted:
    return Predicted(folder / "out", {"runs": ["r"], "classes": ["a", "b"]}, ("{}.nii.gz",))


def _never() -> Any:
    raise AssertionError("nothing is read")


def _weights(folder: Path) -> Any:
    return read_state(folder / "weights.safetensors")


def _model(folder: Path) -> Any:
    archive = Archive(folder / "model.zip")
    return archive.about, {name: archive.read(name) for name in archive.about["files"]}


def _study(folder: Path) -> Any:
    found: StudyData = read_study(folder / "ablations" / "study-01")
    missing = found.runs[found.runs["state"] == "missing"]["run_id"]
    return found.about, found.rows.to_dict("list"), dict(found.reasons), list(missing)


def _holes(found: Any, stored: Any) -> bool:
    """A study with a hole: the other runs' rows, and a reason, or a run that is missing."""
    rows, whole = (
        [tuple(map(str, row)) for row in zip(*each[1].values(), strict=True)]
        for each in (found, stored)
    )
    left = {row[0] for row in whole} - {row[0] for row in rows}
    return (
        bool(left)
        and left == {*found[2], *found[3]}
        and rows == [row for row in whole if row[0] not in left]
    )


_RUN_FILES = (
    "run.json",
    "rows.jsonl",
    "metrics.jsonl",
    "measures.npz",
    "panels.npz",
    "config.yaml",
)
_STORE_FILES = (
    "store.json",
    *(f"b.{each}" for each in ("json", "image.b2nd", "label.b2nd", "foreground.npy")),
)
KINDS: Mapping[str, Kind] = {
    "run": Kind(
        tuple(f"runs/{_RUN}/{name}" for name in _RUN_FILES),
        _run,
        # Without its record a run is run again.
        lambda found, stored: found[0] == {"status": "planned"},
    ),
    "checkpoint": Kind(("checkpoint.pt",), _checkpoint),
    "checkpoints": Kind(
        ("checkpoint.pt", "checkpoint.previous.pt"),
        _two_checkpoints,
        # The one before.
        lambda found, stored: _same({**found[0], "progress": 0}, {**stored[0], "progress": 0}),
    ),
    "store": Kind(_STORE_FILES, _store),
    # Not there: asked anew.
    "cell": Kind(("prompts/cells/cell.jsonl",), _cell, lambda found, stored: found == []),
    # Not finished: segmented anew.
    "predicted": Kind(
        ("out/predict.json", "out/a.nii.gz"), _predicted, lambda found, stored: found == set()
    ),
    "weights": Kind(("weights.safetensors",), _weights),
    "model": Kind(("model.zip",), _model),
    "study": Kind(
        ("ablations/study-01/ablation.json", f"runs/{_RUN}/run.json", f"runs/{_RUN}/rows.jsonl"),
        _study,
        _holes,
    ),
}


def start(base: Path) -> Make:
    """One of each kind."""
    for name in KINDS:
        (base / name).mkdir()
    for name in ("run", "study"):
        about = make_study(base / name, ("S1",), (0, 1), cases=3) / "ablation.json"
        about.write_text(to_sealed_json(json.loads(about.read_text())))
    record(base / "run", _RUN, cases=3)
    for home in (base / "run", base / "study"):
        for run in sorted(
            path for path in (home / "runs").iterdir() if path.is_dir() and path.name[0] != "."
        ):
            made = RunFolder(home, run.name)
            made.config.write_text("arm: S1\nseed: 0\n")
            made.note(files=made.checksums())
    save_whole(base / "checkpoint" / "checkpoint.pt", _STATE)
    before = {**_STATE, "progress": {"steps": 2, "history": []}}
    save_whole(base / "checkpoints" / "checkpoint.pt", before)
    save_whole(base / "checkpoints" / "checkpoint.pt", _STATE, keep=True)
    assert previous(base / "checkpoints" / "checkpoint.pt").exists()
    label = blocks((9, 70, 66))
    write_store(
        base / "store",
        {name: (random_image(seed, (2, 9, 70, 66)), label) for seed, name in enumerate("ab")},
    )
    for case in "ab":
        CellRows(base / "cell", "cell").add([_row(case, k) for k in range(3)])
    _write_predicted(base / "predicted")
    _write_weights(base / "weights")
    members = {"README.md": b"# A card", "runs/0/blocks": bytes(range(256)) * 20}
    write_archive(base / "model" / "model.zip", {"kind": "test"}, members)
    stored = {name: kind.read(base / name) for name, kind in KINDS.items()}
    return lambda draw, folder: _attempt(draw, folder, base, stored)


def _row(case: str, k: int) -> Row:
    return Row("cell", 0, 0, case, case, k, f"class {k}", "dice", "nnunet", 0.5 + k / 7)


def _write_predicted(folder: Path) -> None:
    scan = write_image(folder / "a.nii.gz", random_image(1))
    made = folder / "made"
    write_image(made / "a.nii.gz", blocks())
    out = _predictions(folder)
    out.begin()
    out.add("a", volume_hash(Case("a", "p", _never, _never, (scan,))), made)


def _write_weights(folder: Path) -> None:
    from safetensors.torch import save_file

    from spsam.model.sam.state_file import CHECKSUM, state_sha256

    weights = {
        "image_encoder.a": torch.arange(60.0).reshape(6, 10),
        "mask_decoder.b": torch.ones(7),
    }
    save_file(weights, folder / "weights.safetensors", {CHECKSUM: state_sha256(weights)})


def _attempt(draw: random.Random, folder: Path, base: Path, stored: Mapping[str, Any]) -> Attempt:
    name = draw.choice([*KINDS, "run", "store"])
    kind = KINDS[name]
    place = Path(shutil.copytree(base / name, folder / name, symlinks=True))
    file = place / draw.choice(kind.files)
    what = f"{name}: {file.relative_to(place)} {_damage(draw, file)}"
    return Attempt(
        what, partial(kind.read, place), lambda found: _compare(kind, found, stored[name])
    )


def _damage(draw: random.Random, file: Path) -> str:
    content = file.read_bytes()
    how = draw.choice(
        ["bit", "bit", "bits", "byte", "zeros", "cut", "lines", "tree", "gone", "copy"]
    )
    if how == "tree" and file.suffix == ".json":
        tree, said = mutated(draw, json.loads(content))
        file.write_bytes(written(tree).encode("utf-8", "surrogatepass"))
        return said
    if how == "gone" and draw.random() < 0.5:
        file.unlink()
        return "is gone"
    damaged = bytearray(content)
    others = [each for each in sorted(file.parent.iterdir()) if each.is_file() and each != file]
    if how == "copy" and others:
        damaged = bytearray(draw.choice(others).read_bytes())
    elif how == "zeros":
        at = draw.randrange(len(content))
        damaged[at : at + 512] = bytes(len(damaged[at : at + 512]))
    elif how == "cut":
        damaged = damaged[: draw.randrange(len(content))]
    elif how == "lines":
        lines = content.splitlines(keepends=True)
        del lines[
            draw.randrange(min(1, len(lines) - 1), len(lines)) : draw.choice([None, len(lines) - 1])
        ]
        damaged = bytearray(b"".join(lines))
    elif how == "byte":
        damaged = bytearray(scratched(draw, content))
    else:
        for _ in range(1 if how == "bit" else draw.randrange(2, 20)):
            damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(damaged)
    return f"damaged ({how})"


def _compare(kind: Kind, found: Any, stored: Any) -> str:
    if _same(found, stored):
        return "as stored"
    if kind.less(found, stored):
        return "less, and it is said"
    raise OtherError(f"read {found!r:.200}, stored {stored!r:.200}")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray | torch.Tensor):
        return type(one) is type(other) and one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other or {str(one), str(other)} == {"nan"})


CAMPAIGN = Campaign("stored", start, 600, SpsamError)
