"""The package as a user gets it: light imports, public names, and what a wheel carries."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import spsam

HEAVY = ("torch", "timm", "mlflow", "monai", "pandas", "scipy", "SimpleITK", "matplotlib")
TORCH_FREE = ("cli", "config", "registry", "reporting", "results", "tracking")
SHARED = ("registry", "ablations", "reports")

# Runs `python -m spsam <arguments>` in-process and tells which heavy packages were imported.
PROBE = """
import runpy, sys
sys.argv = ["spsam", *{arguments!r}]
code = 0
try:
    runpy.run_module("spsam", run_name="__main__")
except SystemExit as stop:
    code = stop.code or 0
print("\\nheavy:", *[name for name in {heavy!r} if name in sys.modules])
sys.exit(code)
"""


def python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["registry", "list"], ["ablate", "--help"], ["prompts", "--help"]]
)
def test_light_commands_import_nothing_heavy(arguments: list[str], repository: Path) -> None:
    heavy = ("torch", "timm", "mlflow", "monai")
    out = python(PROBE.format(arguments=arguments, heavy=heavy), repository)
    shown, _, imported = out.rpartition("\nheavy:")
    assert imported.strip() == ""
    assert shown.strip()


def test_import_is_light(repository: Path) -> None:
    code = f"import sys, spsam; print([n for n in {HEAVY!r} if n in sys.modules])"
    assert python(code, repository).strip() == "[]"


@pytest.mark.parametrize("layer", TORCH_FREE)
def test_light_layers_import_without_torch(layer: str, repository: Path) -> None:
    # Every module of the layer: an arm is validated and a table is made without loading torch.
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module('spsam.{layer}')\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "    assert 'torch' not in sys.modules, module.name"
    )
    python(code, repository)


@pytest.mark.parametrize("name", spsam.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(spsam, name) is not None
    assert name in dir(spsam)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod_arm'"):
        spsam.laod_arm  # noqa: B018 - the access is the test


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    done = subprocess.run(
        [*command, str(folder)], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.parametrize("kind", SHARED)
def test_wheel_carries_every_data_file(kind: str, wheel: Path, repository: Path) -> None:
    ours = {
        path.relative_to(repository).as_posix()
        for path in (repository / kind).rglob("*")
        if path.is_file()
    }
    prefix = "spsam/_share/"
    inside = {name.removeprefix(prefix) for name in zipfile.ZipFile(wheel).namelist()}
    assert ours
    assert ours <= inside


def test_wheel_carries_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "spsam/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "spsam",
        f"spsam-{spsam.__version__}.dist-info",
    }


def test_unpacked_wheel_finds_its_arms(wheel: Path, tmp_path: Path) -> None:
    # Away from the checkout: what lies beside the code is all there is.
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import spsam; print(spsam.__file__); print(spsam.load_arm('S9').blocks.adapter.name)"
    )
    away = tmp_path / "elsewhere"
    away.mkdir()
    where, adapter = python(code, away).split()
    assert Path(where).is_relative_to(site)
    assert adapter == "dfused"
