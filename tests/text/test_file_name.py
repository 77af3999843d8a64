from __future__ import annotations

import string
from pathlib import PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from spsam.text.file_name import file_name


def test_short_names_stay() -> None:
    assert file_name("my study/1") == "my_study_1"


@given(st.one_of(st.text(), st.sampled_from(["NUL", "con.v1", "lpt1", "..", "a.", "x:y", "."])))
def test_names_are_folders_on_every_system(label: str) -> None:
    name = file_name(label)
    assert not PureWindowsPath(name).is_reserved()
    assert set(name) <= {*string.ascii_letters, *string.digits, *"._-"}
    assert not name.endswith(".")


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = file_name("n" * 300), file_name("n" * 5000)
    assert len(one) == len(other) < 200
    assert one != other
    assert file_name("n" * 300) == one
