from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from spsam.data.geometry import Geometry
from spsam.data.plan import Plan
from spsam.data.preparation import bounds
from spsam.data.preparation.bounds import check_size, memory_at_hand, spacing_notes
from spsam.errors import InputError

PLAN = Plan(
    depth_axis=0,
    spacing=(5.0, 1.0, 1.0),
    anisotropic=True,
    modality="MR",
    patch_size=(4, 64, 64),
    orientation="LPS",
)
SCAN = Geometry((10, 100, 100), (5.0, 1.0, 1.0))


def refusal(geometry: Geometry, plan: Plan = PLAN, classes: int = 3) -> str:
    with pytest.raises(InputError) as caught:
        check_size(geometry, plan, channels=1, classes=classes, labelled=False, file=None)
    return str(caught.value)


def test_scans_like_those_of_the_training_pass() -> None:
    for factor in (0.4, 1.0, 2.5):
        scan = replace(SCAN, spacing=tuple(factor * each for each in SCAN.spacing))
        assert spacing_notes(scan, PLAN, None) == ()
        check_size(scan, PLAN, channels=4, classes=16, labelled=True, file=None)


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_far_spacing_is_a_warning(factor: float) -> None:
    scan = replace(SCAN, spacing=(5.0, factor, factor))
    (note,) = spacing_notes(scan, PLAN, None)
    assert "is far from that of the training cases, 5 × 1 × 1 mm" in str(note)
    check_size(scan, PLAN, channels=1, classes=3, labelled=False, file=None)


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
def test_another_unit_is_refused(factor: float) -> None:
    scan = replace(SCAN, spacing=tuple(factor * each for each in SCAN.spacing))
    assert "a factor of 1000" in refusal(scan)


def test_axes_are_those_of_the_patient() -> None:
    """A sagittal scan is compared with an axial plan along the same directions."""
    turned = Geometry((100, 100, 10), (1.0, 1.0, 5.0), direction=(0, 0, 1, 0, 1, 0, 1, 0, 0))
    assert spacing_notes(turned, PLAN, None) == ()


def test_memory_bounds_what_is_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = replace(PLAN, spacing=(5.0, 0.1, 0.1))
    # 10 × 1000 × 1000 voxels: 9 bytes for an image, and three classes' logits of four slices.
    needed = 10_000_000 * 9 + 3 * 4_000_000 * 12
    monkeypatch.setattr(bounds, "memory_at_hand", lambda: int(needed / 0.9) + 1)
    check_size(SCAN, fine, channels=1, classes=3, labelled=False, file=None)
    monkeypatch.setattr(bounds, "memory_at_hand", lambda: int(needed / 0.9) - 1)
    message = refusal(SCAN, fine)
    assert "resampled to 10 × 1000 × 1000 voxels it would need 0.2 GiB of memory" in message
    assert "its spacing is 5 × 1 × 1 mm, that of the training cases 5 × 0.1 × 0.1 mm" in message


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on this system")
def test_memory_is_that_of_the_process_limit() -> None:
    import resource

    import psutil

    free = memory_at_hand()
    assert 0 < free <= psutil.virtual_memory().total
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    held = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, hard))
    try:
        assert memory_at_hand() <= 2**28
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
