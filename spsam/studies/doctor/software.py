"""Checks of Python, the installed packages, and the programs that some commands start."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from spsam.config.places import tested_versions
from spsam.studies.doctor.finding import Examination, Finding

PROGRAMS = {
    "pdflatex": "a study's report.pdf",
    "sbatch": "spsam ablate --executor slurm",
}
"""Optional program -> the feature that uses it."""


def python(examined: Examination) -> Iterator[Finding]:
    """Compares the interpreter's version with the one that the package requires."""
    found, system = platform.python_version(), platform.platform()
    wanted = metadata.metadata("spsam")["Requires-Python"]
    right = Requirement(f"python{wanted}").specifier.contains(found, prereleases=True)
    yield Finding(
        "python",
        "ok" if right else "wrong",
        f"{found} on {system}",
        "" if right else f"install spsam in a Python {wanted}",
        {"version": found, "platform": system, "wanted": wanted},
    )


def packages(examined: Examination) -> Iterator[Finding]:
    """Compares each required package with its version range and with the tested version."""
    wanted = [Requirement(line) for line in metadata.requires("spsam") or ()]
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    tested = _tested()
    versions: dict[str, str | None] = {}
    broken: list[str] = []
    other: list[str] = []
    for each in needed:
        found = versions[each.name] = _version(each.name)
        exact = tested.get(each.name.lower())
        if found is None or not each.specifier.contains(found, prereleases=True):
            broken.append(f"'{each.name}{each.specifier}'")
        elif exact and Version(found).public != Version(exact).public:
            other.append(f"{each.name} {found} (tested: {exact})")
    facts = {
        "versions": versions,
        "tested": {each.name: tested.get(each.name.lower()) for each in needed},
    }
    if broken:
        missing = f"{len(broken)} of {len(needed)} are missing or have a wrong version"
        yield Finding("packages", "wrong", missing, f"pip install {' '.join(broken)}", facts)
    elif other:
        text = f"{len(needed)} in their ranges; other versions than tested: {', '.join(other)}"
        yield Finding("packages", "note", text, "", facts)
    else:
        yield Finding("packages", "ok", f"{len(needed)}, all as tested", "", facts)


def programs(examined: Examination) -> Iterator[Finding]:
    """Reports programs that only some commands need."""
    for name, use in PROGRAMS.items():
        found = shutil.which(name)
        text = found or f"not found; only {use} needs it"
        yield Finding(name, "ok" if found else "note", text, "", {"path": found})


def _tested() -> dict[str, str]:
    """Returns the versions that are tested on this Python, by package name in lower case."""
    file = tested_versions()
    if file is None:
        return {}
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    pins = [Requirement(line) for line in lines if not line.lstrip().startswith("#")]
    return {
        pin.name.lower(): next(iter(pin.specifier)).version
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
