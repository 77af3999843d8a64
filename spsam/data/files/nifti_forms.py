"""Spatial fields of NIfTI headers: qform, sform and voxel size.

The two forms may disagree, for example after registration. The form is selected by the same rule as
in SimpleITK, which reads other formats here. Label maps receive both forms unchanged, so that a
viewer shows them aligned with the scan, whichever form it uses.
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

# Largest accepted cosine between two axes, about a third of a degree; above, a form is sheared.
SHEARED = 5e-3
# Length of the header's unit in mm.
_UNITS = {1: 1e3, 3: 1e-3}
# Limits in the header's unit of length. No scanner exceeds them, and products of such numbers could
# overflow.
_LARGEST, _SMALLEST = 1e9, 1e-9
# In NIfTI, x and y point right and anterior; in a geometry, they point left and posterior.
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Forms:
    """The spatial fields of a header.

    Attributes:
        codes: Codes of qform and sform; 0 if the form is missing.
        units: `xyzt_units`.
        pixdim: `qfac`, then the voxel size (x, y, z).
        quaternion: b, c, d and the offset (x, y, z) of the qform.
        rows: The three rows of the sform.
    """

    codes: tuple[int, int]
    units: int
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    rows: tuple[float, ...]

    @classmethod
    def of(cls, header: Any) -> Forms:
        """Read the fields of a nibabel header."""
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
        """Restore the fields from `numbers`."""
        assert len(numbers) == 25, len(numbers)
        codes = (int(numbers[0]), int(numbers[1]))
        rest = tuple(map(float, numbers[3:]))
        return cls(codes, int(numbers[2]), rest[:4], rest[4:10], rest[10:])

    @property
    def numbers(self) -> tuple[float, ...]:
        """All fields as numbers, to be stored in a geometry."""
        plain = (*self.codes, self.units, *self.pixdim, *self.quaternion, *self.rows)
        return tuple(float(value) for value in plain)

    def put(self, header: Any) -> None:
        """Write the fields to a nibabel header."""
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
        """The sform, (3, 4)."""
        return np.reshape(self.rows, (3, 4)).astype(np.float64)

    @property
    def qform(self) -> Matrix:
        """The qform, (3, 4), in the header's voxel sizes."""
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
        """Deviation of the sform's axes from right angles: the largest cosine between two.

        Infinite if an axis has no length; 0 without an sform.
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
        """The selected form: `sform`, `qform`, or an empty string if there is none."""
        upright = self.codes[1] > 0 and self.shear <= SHEARED
        if upright and (self.codes[1] == 1 or not self.codes[0]):
            return "sform"
        return "qform" if self.codes[0] else ""


def geometry_of(path: Path, forms: Forms, shape: tuple[int, int, int]) -> Geometry:
    """Return the geometry of a volume.

    Args:
        path: The file, for messages.
        forms: Spatial fields of its header.
        shape: (z, y, x).

    Raises:
        InputError: If the fields are invalid or incomplete.
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
        # Nearest orthogonal axes, because files store them with few digits.
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
    """Return warnings about a valid header.

    Args:
        forms: Spatial fields of the header.
        shape: (z, y, x).
    """
    found = []
    if forms.shear > SHEARED:
        found.append(
            "its axes are not at right angles (a sheared sform); they are read as right angles"
        )
    sizes = np.abs(forms.pixdim[1:])
    if not sizes.all():
        lengths = np.linalg.norm(forms.sform[:, :3], axis=0)
        shown = " and ".join(
            f"{length:.4g} along {axis}"
            for axis, size, length in zip("xyz", sizes, lengths, strict=True)
            if not size
        )
        found.append(f"its voxel size (pixdim) is 0; {shown} is used from its sform")
    elif all(forms.codes) and forms.shear <= SHEARED:
        apart, allowed = _apart(forms, shape), 0.1 * sizes.min()
        if apart > allowed:
            found.append(
                f"its sform and qform disagree by up to {apart:.4g} mm: the {forms.taken} is "
                "used; other programs may use the other form; label maps keep both"
            )
    elif forms.taken == "sform":
        lengths = np.linalg.norm(forms.sform[:, :3], axis=0)
        if np.abs(lengths - sizes).max() > 0.01 * sizes.min():
            one, two = (" × ".join(f"{each:.4g}" for each in values) for values in (lengths, sizes))
            found.append(f"its sform's voxels are {one}, its pixdim's {two}: the latter is used")
    return found


def _apart(forms: Forms, shape: tuple[int, int, int]) -> float:
    """Return the largest distance in mm between the corners of the volume in the two forms."""
    # Corners of the volume rather than voxel centres, because a single slice has a thickness.
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
        Problem(f"its {name} contains NaN, infinity or numbers above 1e9; correct the header", path)
        for name, values in said.items()
        if not (np.abs(values) <= _LARGEST).all()
    ]
    if any(0 < abs(size) < _SMALLEST for size in forms.pixdim[1:]):
        problems.append(Problem("its voxel size (pixdim) is below 1e-9; correct the header", path))
    if problems:
        return problems
    if forms.codes[0] and np.square(forms.quaternion[:3]).sum() > 1.001:
        problems.append(Problem("its qform is not a rotation (a quaternion longer than 1)", path))
    upright = forms.codes[1] and forms.shear <= SHEARED
    if not upright and not all(forms.pixdim[1:]):
        problems.append(Problem("its header has no voxel size (pixdim is 0)", path))
    if forms.codes[1] and not upright and not forms.codes[0]:
        what = "has an axis of no length" if np.isinf(forms.shear) else "is sheared"
        message = f"its axes are not at right angles (its sform {what}): resample it first"
        problems.append(Problem(message, path))
    return problems
