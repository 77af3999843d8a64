from __future__ import annotations

from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.reporting.prompts.stored import find_prompt_studies, prompt_tables, read_prompt_study
from tests.reporting.prompts.study import make_prompt_study


def test_a_stored_study_gives_its_tables_with_sources(tmp_path: Path) -> None:
    folder = make_prompt_study(tmp_path)
    assert find_prompt_studies(tmp_path) == find_prompt_studies(folder) == [folder]
    cells, overview = prompt_tables(*read_prompt_study(folder))
    assert list(cells.frame()["dice"]) == pytest.approx([10, 20.5, 30])
    assert [group.title for group in cells.groups] == ["point", "box"]
    assert [line.key for line in cells.lines] == [
        "point, edt, ground truth",
        "point, random, ground truth",
        "box, off 5%",
    ]
    assert "Which prompts: plain SAM on 2 test cases of my_data" in cells.caption
    cell = overview.lines[1].cells[overview.column("ground truth")]
    assert cell.text == "20.50"
    assert cell.source is not None
    assert cell.source.runs == ("key1a", "key1b")
    assert cell.source.cases == ("a", "b")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_damaged_description_is_an_error(text: str, tmp_path: Path) -> None:
    folder = make_prompt_study(tmp_path)
    (folder / "study.json").write_text(text)
    with pytest.raises(InputError, match=r"study\.json: is not a prompt study"):
        read_prompt_study(folder)
