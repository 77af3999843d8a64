"""The shipped results of record: their names, and the page and the README that quote them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from spsam.reporting.records.verify import find_records, read_record, verify_record
from spsam.reporting.statistics.compare import compare_all
from spsam.reporting.tables.study import StudyResults

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "reports" / "results"
PAGE = PLACE / "README.md"
RECORDS = find_records(PLACE)
IDS = [record.name for record in RECORDS]
NAME = re.compile(
    r"(?P<data>[a-z0-9]+)-(?P<study>[a-z0-9-]+)-(?P<schedule>\d+-steps|plain|trained)"
)


def rows(page: Path, heading: str | None = None) -> list[list[str]]:
    """The cells of all rows of tables on a page, or in one of its sections."""
    text = page.read_text(encoding="utf-8")
    if heading:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def recorded(record: str, table: str = "ablation") -> list[dict[str, str]]:
    with (PLACE / record / "tables" / f"{table}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def dice(record: str) -> dict[str, str]:
    """Mean Dice of each arm, percent."""
    return {row["arm"]: f"{float(row['dice']):.1f}" for row in recorded(record)}


def dice_and_interval(record: str) -> dict[str, str]:
    """The same with its confidence interval."""
    return {
        row["arm"]: f"{means} [{float(row['ci_low']):.1f}, {float(row['ci_high']):.1f}]"
        for row, means in zip(recorded(record), dice(record).values(), strict=True)
    }


def signed(change: float, low: float, high: float) -> str:
    return f"{change:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def change(record: str) -> dict[str, str]:
    """Change in Dice of each arm that has a parent, with its confidence interval."""
    return {
        row["arm"]: signed(*(float(row[key]) for key in ("change", "low", "high")))
        for row in recorded(record, "comparisons")
        if row["metric"] == "dice"
    }


def against(record: str, reference: str) -> dict[str, str]:
    """Change of every arm against one arm."""
    scores = StudyResults(read_record(PLACE / record)).scores("dice")
    found = compare_all(scores, [(arm, reference) for arm in scores if arm != reference])
    return {
        arm: signed(*(100 * value for value in (one.change, one.low, one.high)))
        for arm, one in found.items()
    }


@pytest.mark.parametrize("record", RECORDS, ids=IDS)
def test_a_record_is_what_its_rows_give(record: Path) -> None:
    assert verify_record(record) == []


@pytest.mark.parametrize("record", RECORDS, ids=IDS)
def test_a_name_states_data_and_schedule(record: Path) -> None:
    name = NAME.fullmatch(record.name)
    assert name, "the rule: DATASET-STUDY-SCHEDULE"
    about = json.loads((record / "study.json").read_text(encoding="utf-8"))
    assert name["data"] == about["data"]["name"]
    if "arms" not in about:
        assert name["study"] == "prompts"
        assert name["schedule"] == ("trained" if about["run"] else "plain")
        return
    steps = set()
    for config in (record / "configs").iterdir():
        train = YAML(typ="safe").load(config)["arm"]["train"]
        steps.add(train["epochs"] * train["iterations"])
    assert name["schedule"] == f"{max(steps)}-steps"
    # Only a study of schedules has several.
    assert len(steps) == 1 or (record / "tables" / "time.csv").is_file()


def test_every_folder_has_its_line_on_the_page() -> None:
    assert len(IDS) == len(set(IDS))
    folders = {path for place in (PLACE, PLACE / "archive") for path in place.iterdir()}
    assert folders - {PAGE, PLACE / "archive"} == set(RECORDS)
    tables = (rows(PAGE)[2:], rows(PAGE, "Archive")[2:])
    archived = [row[0].strip("`") for row in tables[1]]
    current = [row[0].strip("`") for row in tables[0] if NAME.fullmatch(row[0].strip("`"))]
    current = [name for name in current if name not in archived]
    assert sorted(archived) == [path.name for path in RECORDS if path.parent.name == "archive"]
    assert sorted(current) == [path.name for path in RECORDS if path.parent == PLACE]
    for name, content, reason in tables[1]:
        assert content
        assert "docs/decisions/" in reason, f"{name}: no document argues from it"


def test_documents_name_records_that_exist() -> None:
    named = re.compile(r"`(?:reports/results/)?((?:archive/)?(?:acdc|hippocampus)-[\w-]+)`")
    folders = {record.relative_to(PLACE).as_posix() for record in RECORDS}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        unknown = set(named.findall(page.read_text(encoding="utf-8"))) - folders
        assert not unknown, page.name


def test_the_page_has_the_numbers_of_the_components() -> None:
    acdc, hippocampus = "acdc-arms-1500-steps", "hippocampus-arms-600-steps"
    *arms, full = rows(PAGE, "Which components help?")[2:]
    columns = [
        found
        for record in (acdc, hippocampus)
        for found in (dice_and_interval(record), {"S1": ""} | change(record))
    ]
    assert [[row[0], *row[2:]] for row in arms] == [
        [arm, *(column[arm] for column in columns)] for arm in columns[0]
    ]
    assert full[3::2] == [against(record, "S3")["S9"] for record in (acdc, hippocampus)]


@pytest.mark.parametrize(
    ("heading", "record", "column", "arms"),
    [
        ("Does longer training change the order?", "acdc-arms-4500-steps", 1, 2),
        ("Why do depth MLPs not help here?", "hippocampus-depth-600-steps", 2, 4),
        ("Do SAM's weights matter?", "acdc-weights-1500-steps", 1, 4),
    ],
)
def test_the_page_has_the_numbers_of_a_study(
    heading: str, record: str, column: int, arms: int
) -> None:
    scores, changes = dice_and_interval(record), change(record)
    shown = rows(PAGE, heading)[2:]
    assert len(shown) == arms
    for row in shown:
        assert row[column] == scores[row[0]]
        # A change names the arm that it is against, or the column does.
        if row[column + 1]:
            assert row[column + 1].partition(" (")[0] == changes[row[0]]


def test_the_page_has_the_numbers_of_the_u_nets() -> None:
    acdc, hippocampus = "acdc-unets-1500-steps", "hippocampus-unets-600-steps"
    columns = [
        found
        for record in (acdc, hippocampus)
        for found in (dice_and_interval(record), {"S9": ""} | against(record, "S9"))
    ]
    assert rows(PAGE, "Is a U-Net better?")[2:] == [
        [arm, *(column[arm] for column in columns)] for arm in ("S9", "unet2d", "unet3d")
    ]


def test_the_page_has_the_numbers_of_sam_at_twice_the_patch() -> None:
    record = "hippocampus-twice-the-patch-600-steps"
    scores, changes = dice_and_interval(record), {"S9": ""} | against(record, "S9")
    seeds = StudyResults(read_record(PLACE / record)).scores("dice")
    distances = {row["arm"]: f"{float(row['hd95']):.1f}" for row in recorded(record)}
    assert rows(PAGE, "Is a U-Net better than SAM at twice the patch?")[2:] == [
        [
            arm,
            scores[arm],
            ", ".join(f"{100 * mean:.1f}" for mean in seeds[arm].seed_means()),
            changes[arm],
            distances[arm],
        ]
        for arm in ("S9", "generator_only", "unet3d", "unet3d_tuned")
    ]
    means = dice(record)
    told = f"S9 has {means['S9']} on hippocampus and a 3D U-Net with a tuned rate "
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{told}{means['unet3d_tuned']} (three seeds)" in readme


def test_the_page_has_the_numbers_of_training_times() -> None:
    table = recorded("hippocampus-time-600-steps", "time")
    methods = [key.removeprefix("dice: ") for key in table[0] if key.startswith("dice: ")]
    heads, _, *shown = rows(PAGE, "Who is ahead after how many minutes?")
    assert heads == ["minutes", *methods, "ahead, by"]
    assert len(shown) == len(table)
    for (minutes, *cells, ahead), row in zip(shown, table, strict=True):
        assert minutes == row["minutes"]
        for method, cell in zip(methods, cells, strict=True):
            dice, *ends = (row[f"{key}: {method}"] for key in ("dice", "ci_low", "ci_high"))
            low, high = (f"{float(end):.1f}" if end else "" for end in ends)
            assert cell == (f"{float(dice):.1f} [{low}, {high}]" if dice else "")
        lead = [float(row[key]) for key in ("lead", "lead_low", "lead_high") if row[key]]
        assert ahead == (f"{row['ahead']}, {signed(*lead)}" if lead else row["ahead"])


def test_the_page_has_the_numbers_of_the_methods() -> None:
    hippocampus, acdc = "hippocampus-methods-150-steps", "acdc-methods-150-steps"
    scores, changes = dice_and_interval(hippocampus), against(hippocampus, "S9:tuned")
    beside = dice_and_interval(acdc)
    shown = rows(PAGE, "How do other methods start?")[2:]
    methods = [arm.removesuffix(":own") for arm in scores if ":own" in arm]
    assert [row[0] for row in shown] == methods
    for arm, *cells in shown:
        assert cells == [
            *(scores[f"{arm}:{recipe}"] for recipe in ("own", "shared", "tuned")),
            changes.get(f"{arm}:tuned", ""),
            beside.get(f"{arm}:own", ""),
        ]


def test_the_page_has_the_numbers_of_the_prompts() -> None:
    cells = {
        (record, row["prompts"], row["source"]): f"{float(row['dice']):.1f}"
        for record in ("plain", "trained")
        for row in recorded(f"hippocampus-prompts-{record}", "table")
        if row["point"] in ("", "edt")
    }
    origins = (("plain", "ground_truth"), ("trained", "ground_truth"), ("trained", "auxiliary"))
    shown = rows(PAGE, "Which prompts does SAM need?")[2:]
    assert len(shown) == 5
    for prompts, *scores in shown:
        assert scores == [cells[record, prompts, source] for record, source in origins]


def test_the_readme_has_the_dice_of_the_records() -> None:
    found = {row[0].strip("`"): row[3:] for row in rows(ROOT / "README.md") if len(row) == 5}
    del found["arm"], found["---"]
    acdc = dice("acdc-unets-1500-steps") | dice("acdc-arms-1500-steps")
    hippocampus = dice("hippocampus-unets-600-steps") | dice("hippocampus-arms-600-steps")
    assert found == {arm: [acdc[arm], hippocampus[arm]] for arm in acdc}
