from __future__ import annotations

from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.registry.arm_file import read_arm_file


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, "root", "title: Root\ntrain: {epochs: 10}\n")
    return tmp_path


def test_bases_are_the_nearest_of_those_beside(files: Path) -> None:
    for name, base in (("a", "root"), ("b", "a"), ("c", "b")):
        write(files, name, f"base: {base}\n")
    arm = read_arm_file(files / "c.yaml")
    assert [file.path.stem for file in arm.files] == ["root", "a", "b", "c"]
    assert arm.root.path.stem == "root"
    assert arm.root.base() is None

    def base(*beside: str) -> str | None:
        found = arm.base(among=[(files / f"{name}.yaml").resolve() for name in beside])
        return None if found is None else found.path.stem

    assert [base(), base("a", "root"), base("root", "c"), base("nowhere")] == [
        "b",
        "a",
        "root",
        "b",
    ]


def test_a_circle_is_named(files: Path) -> None:
    write(files, "a", "base: c\n")
    write(files, "b", "base: a\n")
    c = write(files, "c", "title: x\nbase: b\n")
    with pytest.raises(InputError) as caught:
        read_arm_file(files / "b.yaml")
    expected = f"{files / 'b.yaml'}:1: base: bases form a cycle: b -> a -> c -> b"
    assert str(caught.value) != expected  # it is c's line that closes the circle
    assert str(caught.value) == f"{c}:2: base: bases form a cycle: b -> a -> c -> b"
    write(files, "self", "base: self\n")
    with pytest.raises(InputError, match="cycle: self -> self"):
        read_arm_file(files / "self.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base: nothing\n", "a.yaml:1: base: unknown arm 'nothing'"),
        ("base: ./nothing.yaml\n", "a.yaml:1: base: file"),
        ("base: [root]\n", "a.yaml:1: base: expected an arm's name or path"),
    ],
)
def test_a_base_that_leads_nowhere(files: Path, text: str, said: str) -> None:
    write(files, "a", text)
    with pytest.raises(InputError) as caught:
        read_arm_file(files / "a.yaml")
    assert said in str(caught.value)


def test_a_base_may_be_a_path_or_a_neighbour(files: Path) -> None:
    write(files, "study/root", "title: Mine\ntrain: {epochs: 77}\n")
    path = write(files, "study/a", "base: ../root.yaml\n")
    assert read_arm_file(path).files[0].data["train"]["epochs"] == 10
    path = write(files, "study/b", "base: root\n")
    assert read_arm_file(path).files[0].data["train"]["epochs"] == 77


def test_in_a_layer_the_last_layer_wins_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "ablations"
    write(files, "root", "train: {epochs: 1}\n")
    child = write(files, "a", "base: root\n")
    other = tmp_path / "other.yaml"
    other.write_text("train: {epochs: 2}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spsam.registry.arm_file.arm_file", lambda _: other)
    assert [file.path for file in read_arm_file(child).files] == [other, child]
