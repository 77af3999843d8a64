"""Opening of data sets by name or folder."""

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
    """A reader for one layout of files."""

    recognise: Callable[[Path], bool]
    read: Callable[[Path], DataSet]
    description: str


# The order matters: `msd` accepts any folder with a `dataset.json` that no other layout claims.
LAYOUTS = tuple(
    Layout(each.recognise, each.read, each.LAYOUT)
    for each in (acdc, synapse, synapse_slices, amos, nnunet, msd)
)


def open_dataset(name_or_path: str | Path) -> DataSet:
    """Open a built-in data set, or a folder whose layout is recognised.

    Args:
        name_or_path: `phantom`, a folder in one of the `LAYOUTS`, or the name or number of a data
            set in `$nnUNet_raw`.

    Returns:
        The data set with its fingerprint.

    Raises:
        InputError: If there is no such data set or folder, if the layout is not recognised, or with
            every error in the layout and every class id that a label map cannot store.
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
        raise InputError(Problem(f"expected a folder, got a file; {_expected()}", folder))
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
    """Open new scans without references as a data set whose only class is the background.

    Raises:
        InputError: As `volumes.open_volumes`.
    """
    cases = tuple(volumes.open_volumes(path))
    try:
        channels = len(cases[0].load().image)
    except InputError:
        # The problem is reported when the cases are read.
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
