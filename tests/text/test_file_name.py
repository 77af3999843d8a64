from __future__ import annotations

from spsam.text.file_name import file_name


def test_short_names_stay() -> None:
    assert file_name("my study/1") == "my_study_1"


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = file_name("n" * 300), file_name("n" * 5000)
    assert len(one) == len(other) < 200
    assert one != other
    assert file_name("n" * 300) == one
