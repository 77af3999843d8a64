"""Preparation of a data set: check, normalise and resample every volume, once per plan.

Worker processes import this module, so it must not import torch or other large packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from spsam.checksums import sha256, to_sealed_json
from spsam.data.cases import Case, DataSet
from spsam.data.check import check, load_checked
from spsam.data.labels import IGNORED
from spsam.data.plan import Plan
from spsam.data.preparation.chunked import crc_of, pack
from spsam.data.preparation.preprocess import Statistics, preprocess
from spsam.data.preparation.store import INDEX, PreparedStore, case_file, is_sound, read_json
from spsam.data.volume import Floats
from spsam.data.workers import Progress, run_all
from spsam.errors import InputError, Problem
from spsam.files import atomic, clear_drafts, write_bytes, write_text

# Version of the files; data of another version are prepared again. Version 1 had no checksums.
_FORMAT = 2
# Number of foreground voxels stored per class and case, as centres of patches.
MAX_VOXELS = 5000
# Number of foreground voxels per training case that the intensity statistics of CT are based on.
MAX_SAMPLES = 10_000


def prepare(
    dataset: DataSet,
    plan: Plan,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PreparedStore:
    """Prepare a data set, unless it is already prepared.

    The result is the folder `folder/<name>-<key>`, which is created atomically. An interrupted
    preparation is resumed after a verification of the finished cases, as is a folder without an
    index. A second process waits for the first.

    Args:
        dataset: The data set; all its cases are prepared.
        plan: The plan.
        folder: Folder for prepared data sets.
        workers: Number of processes; default: the number of cores, at most 8.
        progress: Called with the numbers of finished cases and all cases.

    Returns:
        The prepared data.

    Raises:
        InputError: With every problem in every file; nothing is left in `folder`.
    """
    target = prepared_folder(dataset, plan, folder)
    if (target / INDEX).is_file():
        return PreparedStore(target)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = Path(f"{target}.lock")
    try:
        with FileLock(lock):
            try:
                if not (target / INDEX).is_file():
                    _prepare_all(dataset, plan, target, workers, progress)
            except InputError:
                # Removed while it is held; a waiting process detects this and creates another.
                with suppress(OSError):
                    lock.unlink()
                raise
    except InputError:
        for each in made:
            # Not removed if another process has added files meanwhile.
            with suppress(OSError):
                each.rmdir()
        raise
    return PreparedStore(target)


def prepared_folder(dataset: DataSet, plan: Plan, folder: Path) -> Path:
    """Return the folder in `folder` for the prepared data, which may not exist yet."""
    return folder / f"{dataset.name}-{prepared_key(dataset, plan)}"


def prepared_key(dataset: DataSet, plan: Plan) -> str:
    """Return 16 hex digits that identify a prepared data set and the version of its files."""
    text = f"{dataset.fingerprint}/{plan.key}/{_FORMAT}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepare_all(
    dataset: DataSet, plan: Plan, target: Path, workers: int | None, progress: Progress | None
) -> None:
    partial = target.with_name(f"{target.name}.partial")
    if target.is_dir() and not partial.exists():
        # The folder lacks its index; undamaged cases are kept.
        os.replace(target, partial)
    partial.mkdir(exist_ok=True)
    clear_drafts(partial)
    try:
        statistics = _ct_statistics(dataset, plan, workers) if plan.modality == "CT" else None
        jobs = [(case, dataset.in_channels, plan, statistics, partial) for case in dataset.cases]
        results = run_all(_prepare_case, jobs, workers, progress)
        problems = [problem for found in results for problem in found]
        if problems:
            raise InputError(problems)
    except InputError:
        shutil.rmtree(partial)
        raise
    index = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "plan": plan.to_dict(),
        "class_names": dataset.class_names,
        "raw_ids": dataset.raw_ids,
        "channel_names": dataset.channel_names,
        "statistics": statistics,
        "cases": sorted(case.id for case in dataset.cases),
        "notes": _notes(dataset, partial),
    }
    write_text(partial / INDEX, to_sealed_json(index))
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(partial, target)


def _notes(dataset: DataSet, folder: Path) -> list[str]:
    """Return the notes of all cases, including those of an earlier, interrupted call."""
    files = (case_file(folder, case.id, "json") for case in dataset.cases)
    metas = (read_json(file) for file in files)
    return [note for meta in metas for note in meta.get("notes", ())]


def _prepare_case(
    case: Case, channels: int, plan: Plan, statistics: Statistics | None, folder: Path
) -> tuple[Problem, ...]:
    """Write one case; its description is written last and marks the case as finished."""
    meta_file = case_file(folder, case.id, "json")
    if meta_file.is_file() and is_sound(folder, case.id):
        return ()
    try:
        prepared = preprocess(case, plan, statistics, channels=channels)
    except InputError as error:
        return error.problems
    image, label = np.asarray(prepared.image), np.asarray(prepared.label)
    foreground = case_file(folder, case.id, "foreground.npy")
    with atomic(foreground) as draft:
        np.save(draft, np.ascontiguousarray(_foreground(label, case.id)))
    meta: dict[str, Any] = {
        "patient": case.patient,
        "original": asdict(prepared.original),
        "axes": prepared.axes,
        "flips": prepared.flips,
        "box": prepared.box,
        "spacing": prepared.spacing,
        "foreground": sha256(foreground.read_bytes()),
        "arrays": {},
        "notes": [str(note) for note in prepared.notes],
    }
    for part, array in (("image", image), ("label", label)):
        content = pack(array)
        meta["arrays"][part] = crc_of(content)
        write_bytes(case_file(folder, case.id, f"{part}.b2nd"), content)
    write_text(meta_file, to_sealed_json(meta))
    return ()


def _foreground(label: npt.NDArray[np.integer], case_id: str) -> npt.NDArray[np.int32]:
    """Sample voxels of each class as rows (class, d, h, w), reproducibly for each case.

    If voxels are ignored, rows with the class `IGNORED` are a sample of all annotated voxels.
    """
    seed = int.from_bytes(hashlib.sha256(case_id.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    rows = [np.zeros((0, 4), np.int32)]
    for value in np.unique(label):
        if value == 0:
            continue
        # Rows of annotated voxels have the number of the ignored ones.
        inside = label != IGNORED if value == IGNORED else label == value
        voxels = np.argwhere(inside).astype(np.int32)
        if len(voxels) > MAX_VOXELS:
            voxels = voxels[np.sort(rng.choice(len(voxels), MAX_VOXELS, replace=False))]
        rows.append(np.insert(voxels, 0, value, axis=1))
    return np.concatenate(rows)


def _ct_statistics(dataset: DataSet, plan: Plan, workers: int | None) -> Statistics:
    """Compute percentiles, mean and deviation per channel over the training cases' foreground.

    As in nnU-Net, mean and deviation include intensities beyond the percentiles.
    """
    training = [case for case in dataset.cases if case.id in set(plan.training)]
    results = run_all(
        _sample_case, [(case, dataset.in_channels) for case in training], workers, None
    )
    if any(isinstance(result, tuple) for result in results):
        raise InputError(check(dataset, workers=workers))
    samples = np.concatenate([result for result in results if not isinstance(result, tuple)], 1)
    if samples.shape[1] == 0:
        raise InputError(f"no training case of {dataset.name} contains any foreground")
    statistics = []
    for channel in samples.astype(np.float64):
        low, high = np.percentile(channel, [0.5, 99.5])
        if low == high:
            raise InputError(
                f"the foreground of {dataset.name}'s training cases has one intensity, {low:g}, to "
                "which every image would be clipped: check that the references match the images"
            )
        statistics.append(
            {
                "low": float(low),
                "high": float(high),
                "mean": float(channel.mean()),
                "std": float(channel.std()),
            }
        )
    return statistics


def _sample_case(case: Case, channels: int) -> Floats | tuple[Problem, ...]:
    """Return evenly spread foreground intensities `(M, n)` of one case."""
    try:
        volume = load_checked(case, channels)
    except InputError as error:
        return error.problems
    assert volume.label is not None
    values = volume.image[:, volume.label > 0]
    return values[:, :: max(1, values.shape[1] // MAX_SAMPLES)]
