"""A share of every campaign: `nox -s fuzz` runs the whole of them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of this system are others")

from tests.fuzz.__main__ import CAMPAIGNS, quiet
from tests.fuzz.campaign import Attempt, Campaign, Outcome, run

SHARE = 60
"""Of configurations, which are planned with a network each, half as many."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.name)
def test_mutations_are_refused_or_read_as_others_read_them(
    campaign: Campaign, tmp_path: Path
) -> None:
    count = SHARE if campaign.name != "configuration" else SHARE // 2
    with quiet():
        outcome = run(campaign, tmp_path / "fuzz", 7, range(count))
    assert not outcome.faults, "\n".join(f"{number}: {why}" for number, why in outcome.faults)
    assert sum(outcome.counts.values()) == count
    # A campaign that refuses or reads everything looks at nothing.
    assert 0 < outcome.counts["refused"] < count


def told(use: object, tmp_path: Path) -> Outcome:
    """What becomes of a mutation that is used so."""

    def make(draw: object, folder: Path) -> Attempt:
        return Attempt("this", use, lambda found: str(found))  # type: ignore[arg-type]

    return run(Campaign("any", lambda base: make, 1), tmp_path / "any", 0, range(1))


def test_what_is_at_fault_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("x")

    def endless() -> None:
        while True:
            pass

    assert told(lambda: "as it should", tmp_path / "1").counts == {"as it should": 1}
    assert "KeyError" in told(broken, tmp_path / "2").faults[0][1]
    monkeypatch.setattr("tests.fuzz.campaign.SECONDS", 0.05)
    assert "more than 0.05 s" in told(endless, tmp_path / "3").faults[0][1]
