"""Random patches, preparation and augmentation: what the store is worth, side by side.

    OMP_NUM_THREADS=1 python benchmarks/data.py --data path/to/ACDC
    nox -s benchmarks -- --data path/to/ACDC

Ways take turns in one process, one thread, and the medians of the processor's time are compared:
what else the machine does meets all of them alike. Preparation in two processes can only be timed
by the clock; beside it stands what its processes worked, which tells a busy machine from a slow
way.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from spsam.data.dataset import DataSet, open_dataset
from spsam.data.plan import Plan, plan
from spsam.data.preparation.chunked import Chunked, pack
from spsam.data.preparation.prepare import prepare
from spsam.data.preparation.store import PreparedStore

PATCH = (4, 128, 128)
_RUN = 20
Start = NDArray[np.int64]
Read = Callable[[int, Start], object]


def reading(read: dict[str, Read], shapes: list[tuple[int, ...]], turns: int) -> dict[str, float]:
    """Milliseconds of a random patch of image and label, a way.

    A way reads twenty patches before the next has its turn: no training unpacks whole files between
    two patches, which empties the processor's caches for whoever comes next.
    """
    random = np.random.default_rng(0)
    spent: dict[str, list[float]] = {name: [] for name in read}
    for _ in range(max(1, turns // _RUN)):
        cases = random.integers(0, len(shapes), _RUN)
        spare = [np.maximum(np.array(shapes[case]) - PATCH, 0) for case in cases]
        starts = [random.integers(0, each + 1) for each in spare]
        for name, way in read.items():
            for case, start in zip(cases, starts, strict=True):
                began = time.process_time()
                way(int(case), start)
                spent[name].append(1e3 * (time.process_time() - began))
    return {name: statistics.median(times) for name, times in spent.items()}


def acdc_patches(dataset: DataSet, store: PreparedStore, turns: int) -> dict[str, float]:
    """From the data set's own files and from the store."""
    from spsam.data.sampling.patches import cut_out

    cases = dataset.cases
    shapes = [store.case(case.id).label.shape for case in cases]

    def from_files(index: int, start: Start) -> None:
        for file in cases[index].files:
            array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
            cut_out(array, start, PATCH)

    def from_store(index: int, start: Start) -> None:
        case = store.case(cases[index].id)
        cut_out(case.image, start, PATCH)
        cut_out(case.label, start, PATCH)

    return reading({"nii.gz": from_files, "store": from_store}, shapes, turns)


def ct_patches(folder: Path, turns: int) -> dict[str, float]:
    """From one smooth CT-sized volume in either form, and from a plain array in a file."""
    from spsam.data.sampling.patches import cut_out

    shape = (100, 512, 512)
    random = np.random.default_rng(0)
    coarse = random.normal(0, 300, (25, 64, 64)).astype(np.float32)
    image = ndimage.zoom(coarse, (4, 8, 8), order=1) + random.normal(0, 15, shape)
    image = image.round().astype(np.int16)
    label = (image > 100).astype(np.uint8)
    normal = (image / 300).astype(np.float32)
    for name, array in (("image", image), ("label", label)):
        picture = SimpleITK.GetImageFromArray(array)
        SimpleITK.WriteImage(picture, str(folder / f"{name}.nii.gz"))
    for name, array in (("image", normal), ("label", label)):
        (folder / f"{name}.b2nd").write_bytes(pack(array))
        np.save(folder / f"{name}.npy", array)
    held = [Chunked(folder / f"{name}.b2nd") for name in ("image", "label")]

    def from_files(_: int, start: Start) -> None:
        for name in ("image", "label"):
            picture = SimpleITK.ReadImage(str(folder / f"{name}.nii.gz"))
            cut_out(SimpleITK.GetArrayFromImage(picture), start, PATCH)

    def from_store(_: int, start: Start) -> None:
        for each in held:
            cut_out(each, start, PATCH)  # type: ignore[type-var]

    def from_arrays(_: int, start: Start) -> None:
        for name in ("image", "label"):
            cut_out(np.load(folder / f"{name}.npy", mmap_mode="r"), start, PATCH)

    ways = {"nii.gz": from_files, "store": from_store, "plain array": from_arrays}
    sizes = {
        f"{ending} MB": sum((folder / f"{n}.{ending}").stat().st_size for n in ("image", "label"))
        / 1e6
        for ending in ("nii.gz", "b2nd", "npy")
    }
    return {**reading(ways, [shape], turns // 10), **sizes}


def preparation(dataset: DataSet, made: Plan, rounds: int) -> dict[str, float]:
    """Seconds on the clock with one and with two processes, and of the processor.

    Processes import this file anew: what is heavy and they do not need is imported in functions.
    """
    clock: dict[int, list[float]] = {1: [], 2: []}
    worked: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                before, began = _work(), time.perf_counter()
                prepare(dataset, made, Path(folder), workers=workers)
                clock[workers].append(time.perf_counter() - began)
                worked[workers].append(_work() - before)
    one, two = (min(clock[workers]) for workers in (1, 2))
    return {
        "one": one,
        "two": two,
        "ratio": one / two,
        "one worked": statistics.median(worked[1]),
        "two worked": statistics.median(worked[2]),
        # Two cores to themselves: each does half of the work.
        "ratio undisturbed": 2 * statistics.median(worked[1]) / statistics.median(worked[2]),
    }


def _work() -> float:
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def augmentation(store: PreparedStore, rounds: int) -> dict[str, float]:
    """Patches a second of one core, and what a training step of S9 on sam_tiny takes of them."""
    from prompts import training_step

    import spsam
    from spsam.data.sampling.patches import PatchDataset

    arm = spsam.load_arm("S9", preset="cpu")
    foreground, config = arm.train.foreground, arm.augment.model_dump()
    milliseconds = {}
    for name, augment in (("cut", None), ("augmented", config)):
        sizes = {"length": 200, "seed": 0, "foreground": foreground}
        patches = PatchDataset(store, store.ids, PATCH, **sizes, augment=augment)
        spent = []
        for index in range(len(patches)):
            began = time.process_time()
            patches[index]
            spent.append(1e3 * (time.process_time() - began))
        # Few patches take most of the time: the mean, not the median.
        milliseconds[name] = statistics.mean(spent)
    step = training_step(rounds)["step"]
    made, taken = 2 * 1e3 / milliseconds["augmented"], 2 * 1e3 / step
    return {**milliseconds, "step": step, "made": made, "taken": taken, "ratio": made / taken}


def main() -> None:
    """Prints the ratios, or everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="phantom", help="a data set's folder (default phantom)")
    parser.add_argument("--cases", type=int, default=60, help="prepared at most (default 60)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of what is slow (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    whole = open_dataset(options.data)
    dataset = replace(whole, cases=whole.cases[: options.cases])
    made = plan(
        dataset, [case.id for case in dataset.cases], max_depth=4, max_size=128, anisotropy=3.0
    )
    result: dict[str, Any] = {"data": dataset.name, "cases": len(dataset.cases)}
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(dataset, made, Path(folder) / "store", workers=1)
        if all(case.files for case in dataset.cases):
            result["patch"] = acdc_patches(dataset, store, 200)
        result["patch of CT"] = ct_patches(Path(folder), 200)
        result["augmentation"] = augmentation(store, options.rounds)
        result["preparation"] = preparation(dataset, made, 1)
    result["cores"] = os.cpu_count()
    print(json.dumps(result, indent=2) if options.json else text(result))


def text(result: dict[str, Any]) -> str:
    """The same, for readers."""
    lines = [f"{result['data']}, {result['cases']} cases; processor time, one thread"]
    for name in ("patch", "patch of CT"):
        if name in result:
            times = result[name]
            ratio = times["nii.gz"] / times["store"]
            shown = ", ".join(f"{way} {value:.3g}" for way, value in times.items())
            lines.append(f"random {name}: store {ratio:.1f}× as fast as nii.gz ({shown}; ms)")
    found = result["augmentation"]
    lines.append(
        f"augmentation: {found['augmented']:.1f} ms a patch (cut alone {found['cut']:.1f}); two "
        f"cores make {found['made']:.0f} a second, {found['ratio']:.1f}× what a step of "
        f"{found['step']:.0f} ms takes"
    )
    found = result["preparation"]
    lines.append(
        f"preparation: {found['one']:.1f} s in one process, {found['two']:.1f} s in two: "
        f"{found['ratio']:.2f}× ({found['one worked']:.1f} and {found['two worked']:.1f} s of the "
        f"processor: {found['ratio undisturbed']:.2f}× with two cores to themselves)"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
