"""Opening a data set by its name or by its folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spsam.data.cases import Case, DataSet, identified
from spsam.data.labels import id_problems
from spsam.data.sources import acdc, amos, msd, nnunet, phantom, synapse, synapse_slices, volumes
from spsam.errors import InputError, Problem, nearest

__all__ = ["Case", "DataSet", "open_dataset", "open_scans"]

BUILT_IN = {phantom.NAME: phantom.read}


class Layout(NamedTuple):
    """A reader of one layout of files."""

    recognise: Callable[[Path], bool]
    read: Callable[[Path], DataSet]
    description: str


# In this order: what has a `dataset.json` of no other kind is taken for the Decathlon's.
LAYOUTS = tuple(
    Layout(each.recognise, each.read, each.LAYOUT)
    for each in (acdc, synapse, synapse_slices, amos, nnunet, msd)
)


def open_dataset(name_or_path: str | Path) -> DataSet:
    """Opens a built-in data set, or a folder whose layout is recognised.

    Args:
        name_or_path: `phantom`, a folder in one of the `LAYOUTS`, or the name or number of a data
            set below `$nnUNet_raw`.

    Raises:
        InputError: If there is no such data set or folder, the folder's layout is not recognised,
            the layout has mistakes, or ids that no label map holds; all of them.
    """
    if isinstance(name_or_path, str) and name_or_path in BUILT_IN:
        return BUILT_IN[name_or_path]()
    folder = Path(name_or_path).expanduser()
    if isinstance(name_or_path, str) and not folder.exists():
        folder = nnunet.find(name_or_path) or folder
    if folder.is_dir():
        for layout in LAYOUTS:
            if layout.recognise(folder):
                return _checked(layout.read(folder), folder)
        raise InputError(Problem(f"the folder's layout is not recognised; {_expected()}", folder))
    if folder.exists():
        raise InputError(Problem(f"expected a folder, this is a file; {_expected()}", folder))
    if isinstance(name_or_path, Path) or os.sep in name_or_path or "/" in name_or_path:
        raise InputError(Problem(f"the data folder does not exist; {_expected()}", folder))
    guess = nearest(name_or_path, BUILT_IN)
    raise InputError(f"there is no data set and no folder '{name_or_path}'{guess}; {_expected()}")


def _checked(dataset: DataSet, folder: Path) -> DataSet:
    problems = id_problems(dataset.class_names, dataset.raw_ids, folder)
    if problems:
        raise InputError(problems)
    return identified(dataset)


def open_scans(path: Path) -> DataSet:
    """New scans without a reference, as a data set with the background alone.

    Raises:
        InputError: As `volumes.open_volumes`.
    """
    cases = tuple(volumes.open_volumes(path))
    try:
        channels = len(cases[0].load().image)
    except InputError:
        # Whoever reads the cases says what is wrong with it.
        channels = 1
    return identified(
        DataSet(
            name="scans",
            cases=cases,
            class_names=("background",),
            raw_ids=(0,),
            channel_names=tuple(f"channel {index}" for index in range(channels)),
            modality="MR",
        )
    )


def _expected() -> str:
    layouts = ", ".join(layout.description.split(":")[0] for layout in LAYOUTS)
    return (
        f"expected a built-in data set ({', '.join(BUILT_IN)}) or a folder in the layout of one of "
        f"{layouts} (spsam data list shows each)"
    )
