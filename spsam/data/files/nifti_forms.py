"""Where a NIfTI file says that its voxels lie: by its qform, by its sform, by its voxel size.

The two forms may disagree, as registration leaves them. Which one is taken is the rule of the
image library that reads other formats here; both go into a label map as they were, so that a viewer
shows it where it shows the scan, whichever form it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem

Matrix = npt.NDArray[np.float64]

# Cosine between two axes that counts as sheared: about a third of a degree.
SHEARED = 5e-3
# mm in the header's units of length.
_UNITS = {1: 1e3, 3: 1e-3}
# In a header's units of length. Beyond these there is no scanner, and products of such numbers are
# no numbers any more.
_LARGEST, _SMALLEST = 1e9, 1e-9
# NIfTI's x and y run to the right and to the front, a geometry's to the left and to the back.
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Forms:
    """A header's own words.

    Attributes:
        codes: Of the qform and the sform; 0 where there is none.
        units: `xyzt_units`.
        pixdim: `qfac`, then the voxel size (x, y, z).
        quaternion: b, c, d and the offset (x, y, z) of the qform.
        rows: The sform's three rows.
    """

    codes: tuple[int, int]
    units: int
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    rows: tuple[float, ...]

    @classmethod
    def of(cls, header: Any) -> Forms:
        """From a header of nibabel's."""
        names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
        rows = np.concatenate([header[f"srow_{axis}"] for axis in "xyz"])
        return cls(
            (max(0, int(header["qform_code"])), max(0, int(header["sform_code"]))),
            int(header["xyzt_units"]),
            tuple(map(float, header["pixdim"][:4])),
            tuple(float(header[name]) for name in names),
            tuple(map(float, rows)),
        )

    @classmethod
    def from_numbers(cls, numbers: Sequence[float]) -> Forms:
        """From what `numbers` gave."""
        assert len(numbers) == 25, len(numbers)
        codes = (int(numbers[0]), int(numbers[1]))
        rest = tuple(map(float, numbers[3:]))
        return cls(codes, int(numbers[2]), rest[:4], rest[4:10], rest[10:])

    @property
    def numbers(self) -> tuple[float, ...]:
        """All of it, as a geometry carries it."""
        plain = (*self.codes, self.units, *self.pixdim, *self.quaternion, *self.rows)
        return tuple(float(value) for value in plain)

    def put(self, header: Any) -> None:
        """Into a header of nibabel's."""
        header["qform_code"], header["sform_code"] = self.codes
        header["xyzt_units"] = self.units
        header["pixdim"][:4] = self.pixdim
        for name, value in zip("bcd", self.quaternion, strict=False):
            header[f"quatern_{name}"] = value
        for axis, offset, row in zip("xyz", self.quaternion[3:], self.sform, strict=True):
            header[f"qoffset_{axis}"] = offset
            header[f"srow_{axis}"] = row

    @property
    def sform(self) -> Matrix:
        """The sform (3, 4)."""
        return np.reshape(self.rows, (3, 4)).astype(np.float64)

    @property
    def qform(self) -> Matrix:
        """The qform (3, 4); voxel sizes in it are as the header has them."""
        b, c, d = self.quaternion[:3]
        a = 1.0 - (b * b + c * c + d * d)
        if a < 1e-7:
            b, c, d = np.array([b, c, d]) / np.linalg.norm([b, c, d])
            a = 0.0
        a = float(np.sqrt(a))
        turn = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
            ]
        )
        turn[:, 2] *= -1.0 if self.pixdim[0] < 0 else 1.0
        sizes = np.abs(self.pixdim[1:])
        return np.column_stack([turn * sizes, self.quaternion[3:]])

    @property
    def shear(self) -> float:
        """How far the sform's axes are from right angles: the largest cosine between two.

        Infinite where an axis has no length; 0 where there is no sform.
        """
        if not self.codes[1]:
            return 0.0
        lengths = np.linalg.norm(self.sform[:, :3], axis=0)
        if not np.isfinite(lengths).all() or lengths.min() == 0:
            return float("inf")
        axes = self.sform[:, :3] / lengths
        return float(np.abs(axes.T @ axes - np.eye(3)).max())

    @property
    def taken(self) -> str:
        """Which form is taken: `sform`, `qform`, or neither."""
        upright = self.codes[1] > 0 and self.shear <= SHEARED
        if upright and (self.codes[1] == 1 or not self.codes[0]):
            return "sform"
        return "qform" if self.codes[0] else ""


def geometry_of(path: Path, forms: Forms, shape: tuple[int, int, int]) -> Geometry:
    """Where the voxels lie.

    Args:
        path: The file.
        forms: Of its header.
        shape: (z, y, x).

    Raises:
        InputError: If the header's numbers are none, or do not say it.
    """
    problems = _problems(path, forms)
    if problems:
        raise InputError(problems)
    scale = _UNITS.get(forms.units & 7, 1.0)
    sizes = np.abs(forms.pixdim[1:])
    mended = np.where(sizes > 0, sizes, np.linalg.norm(forms.sform[:, :3], axis=0))
    spacing = mended * scale
    numbers = Forms(
        forms.codes,
        forms.units,
        (forms.pixdim[0], *np.where(sizes > 0, forms.pixdim[1:], mended).tolist()),
        forms.quaternion if forms.codes[0] else (0.0,) * 6,
        forms.rows if forms.codes[1] else (0.0,) * 12,
    )
    direction, origin = np.eye(3), np.zeros(3)
    if forms.taken:
        form = forms.sform if forms.taken == "sform" else numbers.qform
        # The nearest upright axes, as files keep them with few digits.
        left, _, right = np.linalg.svd(form[:, :3] / np.linalg.norm(form[:, :3], axis=0))
        direction, origin = _TO_LPS @ left @ right, _TO_LPS @ form[:, 3] * scale
    return Geometry(
        shape,
        (float(spacing[2]), float(spacing[1]), float(spacing[0])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(value) for value in direction.ravel()),
        numbers.numbers,
    )


def oddities(forms: Forms, shape: tuple[int, int, int]) -> list[str]:
    """What a user should know of a header that can be read.

    Args:
        forms: Of the header.
        shape: (z, y, x).
    """
    found = []
    if forms.shear > SHEARED:
        found.append(
            "its axes are not at right angles (a sheared sform); it is read as if they were"
        )
    sizes = np.abs(forms.pixdim[1:])
    if not sizes.all():
        lengths = np.linalg.norm(forms.sform[:, :3], axis=0)
        shown = " and ".join(
            f"{length:.4g} along {axis}"
            for axis, size, length in zip("xyz", sizes, lengths, strict=True)
            if not size
        )
        found.append(f"its voxel size (pixdim) is 0; {shown} is taken from its sform")
    elif all(forms.codes) and forms.shear <= SHEARED:
        apart, allowed = _apart(forms, shape), 0.1 * sizes.min()
        if apart > allowed:
            found.append(
                f"its sform and qform disagree by up to {apart:.4g} mm: the {forms.taken} is "
                "taken, other programs may take the other; label maps get both"
            )
    elif forms.taken == "sform":
        lengths = np.linalg.norm(forms.sform[:, :3], axis=0)
        if np.abs(lengths - sizes).max() > 0.01 * sizes.min():
            one, two = (" × ".join(f"{each:.4g}" for each in values) for values in (lengths, sizes))
            found.append(f"its sform's voxels are {one}, its pixdim's {two}: the latter is taken")
    return found


def _apart(forms: Forms, shape: tuple[int, int, int]) -> float:
    """The largest distance between where the two forms have a corner, mm."""
    # Of the volume and not of its voxels' centres: a single slice has a thickness, too.
    size = np.array(shape[::-1])
    corners = [np.append(size * at, 1) for at in np.ndindex(2, 2, 2)]
    off = (forms.sform - forms.qform) @ np.array(corners, np.float64).T
    return float(np.linalg.norm(off, axis=0).max()) * _UNITS.get(forms.units & 7, 1.0)


def _problems(path: Path, forms: Forms) -> list[Problem]:
    said = {"voxel size (pixdim)": forms.pixdim[1:]}
    if forms.codes[0]:
        said["qform"] = (forms.pixdim[0], *forms.quaternion)
    if forms.codes[1]:
        said["sform"] = forms.rows
    problems = [
        Problem(f"its {name} holds NaN, infinity or numbers above 1e9; mend the header", path)
        for name, values in said.items()
        if not (np.abs(values) <= _LARGEST).all()
    ]
    if any(0 < abs(size) < _SMALLEST for size in forms.pixdim[1:]):
        problems.append(Problem("its voxel size (pixdim) is below 1e-9; mend the header", path))
    if problems:
        return problems
    if forms.codes[0] and np.square(forms.quaternion[:3]).sum() > 1.001:
        problems.append(Problem("its qform is no rotation (a quaternion longer than 1)", path))
    upright = forms.codes[1] and forms.shear <= SHEARED
    if not upright and not all(forms.pixdim[1:]):
        problems.append(Problem("its header has no voxel size (pixdim is 0)", path))
    if forms.codes[1] and not upright and not forms.codes[0]:
        what = "has an axis of no length" if np.isinf(forms.shear) else "is sheared"
        message = f"its axes are not at right angles (its sform {what}): resample it first"
        problems.append(Problem(message, path))
    return problems
