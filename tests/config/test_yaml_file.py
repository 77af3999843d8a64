from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.config.yaml_file import read_value, read_yaml, scalar
from spsam.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3e-5", 3e-5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-12", -12),
        ("012", 12),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("none", "none"),
        ("-.inf", -math.inf),
        ("2020-01-01", "2020-01-01"),
        ("1:30", "1:30"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = scalar(text)
    assert read == value
    assert type(read) is type(value)


def test_quoted_scalars_stay_text(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "a: '1'\nb: \"true\"\n")).data == {"a": "1", "b": "true"}


@given(st.floats(allow_nan=False))
def test_every_number_is_read_back(number: float) -> None:
    text = repr(number).replace("inf", ".inf")
    assert read_value(text) == number


def test_keys_and_items_know_their_lines(tmp_path: Path) -> None:
    file = read_yaml(write(tmp_path, "# c\na:\n  b: 1\n  c:\n    - x\n    - y\nd: {e: 2}\n"))
    assert file.data == {"a": {"b": 1, "c": ["x", "y"]}, "d": {"e": 2}}
    assert file.line(("a",)) == 2
    assert file.line(("a", "b")) == 3
    assert file.line(("a", "c", 1)) == 6
    assert file.line(("d", "e", "unknown")) == 7
    assert file.line(("unknown",)) == 1


def test_every_repeated_key_is_reported(tmp_path: Path) -> None:
    text = "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"
    assert problems(tmp_path, text) == [
        "4: key 'c' is repeated (first in line 3)",
        "5: key 'a' is repeated (first in line 1)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2\nb: 3\n", "2: is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "2: is not valid YAML: but found another document"),
        ("- 1\n", "1: expected a mapping (key: value), got a list"),
        ("", "1: expected a mapping (key: value), got nothing"),
        ("word\n", "1: expected a mapping (key: value), got text"),
        ("a: &x [*x]\n", "1: anchors (&x) are not supported"),
        ("a: !!python/object:os.system 1\n", "1: tags (tag:yaml.org,2002:python/object:os.system)"),
        ("? [a]\n: 1\n", "1: a key must be a word"),
        ("a:\n\t- b\n", "2: is not valid YAML"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert problems(tmp_path, text)[0].startswith(said)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_yaml(binary)
    control = tmp_path / "control.yaml"
    control.write_bytes(b"a: \x07\n")
    with pytest.raises(InputError, match="is not valid YAML"):
        read_yaml(control)


def test_deep_nesting_is_a_sentence_too(tmp_path: Path) -> None:
    assert "nested too deeply" in problems(tmp_path, "a: " + "[" * 5000 + "]" * 5000)[0]
    begun = time.monotonic()
    assert "nested too deeply" in problems(tmp_path, "a: " + "{b: [" * 50_000)[0]
    assert time.monotonic() - begun < 10
    deep = "[" * 100 + "]" * 100
    assert read_value(deep) == json.loads(deep)


@pytest.mark.parametrize(
    "number", ["9" * 5000, "-" + "1" * 1001, "0x" + "f" * 5000, "0o" + "7" * 2000]
)
def test_numbers_of_thousands_of_digits(tmp_path: Path, number: str) -> None:
    assert "expected a shorter number, got one of" in problems(tmp_path, f"a: [{number}]")[0]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path, "a: 1\n")
    first = read_yaml(path)
    assert read_yaml(path) is first
    path.write_text("a: 22\n", encoding="utf-8")
    assert read_yaml(path).data == {"a": 22}


def test_single_values() -> None:
    assert read_value("[1, 2.5, x]") == [1, 2.5, "x"]
    assert read_value("{name: dfused, ratio: 1e-1}") == {"name": "dfused", "ratio": 0.1}
    assert read_value("") is None
    with pytest.raises(InputError, match="--set a: is not valid YAML"):
        read_value("[1", "--set a:")
