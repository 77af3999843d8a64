"""Everything a person or a machine runs on this project: `nox -s demo | tests | lint | types`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.download_python = "auto"
# A session that did not run must not look like one that passed.
nox.options.error_on_missing_interpreters = True

SUPPORTED = ("3.10", "3.11", "3.12")
RUNNING = "{}.{}".format(*sys.version_info)
# The Python that runs nox where the project supports it; else the newest of these on the machine;
# else uv fetches one.
PYTHON = (
    None
    if RUNNING in SUPPORTED
    else next((v for v in reversed(SUPPORTED) if shutil.which(f"python{v}")), SUPPORTED[-1])
)
# Compiled files make the first start two to four times faster.
INSTALL = {"UV_COMPILE_BYTECODE": "1", "UV_COMPILE_BYTECODE_TIMEOUT": "600"}
ENVIRONMENT: dict[str, Path] = {}


def tool(name: str) -> str:
    """A program of the environment that the session `environment` made."""
    return str(ENVIRONMENT["bin"] / name)


@nox.session(python=PYTHON, default=False)
def environment(session: nox.Session) -> None:
    """The one environment of demo, tests and types: torch alone is several gigabytes."""
    session.install("-c", "constraints.txt", "-e", ".[all,docs,notebooks,test,types]", env=INSTALL)
    ENVIRONMENT["bin"] = Path(session.bin)


@nox.session(venv_backend="none", requires=["environment"])
def demo(session: nox.Session) -> None:
    """The nine-arm ablation on the built-in data set; options go on: `nox -s demo -- --seeds 3`."""
    small = ["--data", "phantom", "--preset", "demo"]
    session.run(tool("spsam"), "ablate", "S1..S9", *small, *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    """The tests that take seconds each; `nox -s tests -- -k dice` runs some of them."""
    _pytest(session, "not slurm and not slow")


@nox.session(venv_backend="none", requires=["environment"], default=False)
def slow(session: nox.Session) -> None:
    """The tests that take longer: whole runs, commands of the longest pages, other systems."""
    _pytest(session, "slow and not slurm")


def _pytest(session: nox.Session, marked: str) -> None:
    """Two processes of one thread each: more threads than cores would wait for each other."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    words = ["-m", "pytest", "-n", "2", "-m", marked, *session.posargs]
    session.run(tool("python"), *words, env=threads)


@nox.session(python=PYTHON, default=False, reuse_venv=False)
def ways(session: nox.Session) -> None:
    """The four workflows from a new install of the wheel: `nox -s ways -- --acdc path/to/ACDC`."""
    # These two build the wheel and read the page; a user has neither.
    session.install("-c", "constraints.txt", "hatchling", "sybil", env=INSTALL)
    with tempfile.TemporaryDirectory() as folder:
        build = ["hatchling", "build", "--target", "wheel", "--directory", folder]
        session.run("python", "-m", *build)
        (wheel,) = Path(folder).glob("*.whl")
        session.install("-c", "constraints.txt", f"spsam[all] @ {wheel.as_uri()}", env=INSTALL)
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run("python", "-m", "tests.ways", *session.posargs, env=threads)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def contract(session: nox.Session) -> None:
    """The contract suite on the components of a plugin: `nox -s contract -- path/to/my_blocks`."""
    if len(session.posargs) != 1:
        session.error("expected the plugin's folder: nox -s contract -- path/to/my_blocks")
    folder = Path(session.invoked_from) / session.posargs[0]
    if not (folder / "registry").is_dir():
        session.error(f"{folder}: expected a folder with registry/<slot>/<name>.yaml")
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    suites = sorted(map(str, Path("tests/model").rglob("test_contract.py")))
    command = ["-m", "pytest", "tests/model/test_components.py", *suites]
    session.run(tool("python"), *command, env={**threads, "SPSAM_CONTRACT": str(folder.resolve())})


@nox.session(venv_backend="none", requires=["environment"], default=False)
def round_trip(session: nox.Session) -> None:
    """500 drawn data sets from files to files: `SPSAM_ROUND_TRIPS=2000 nox -s round_trip`."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    examples = {"SPSAM_ROUND_TRIPS": os.environ.get("SPSAM_ROUND_TRIPS", "500")}
    command = ["-m", "pytest", "tests/test_round_trip.py", *session.posargs]
    session.run(tool("python"), *command, env={**threads, **examples})


@nox.session(venv_backend="none", requires=["environment"], default=False)
def fuzz(session: nox.Session) -> None:
    """Thousands of mutated inputs: `nox -s fuzz -- --seed 1 --only nifti dicom --count 500`."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run(tool("python"), "-m", "tests.fuzz", *session.posargs, env=threads)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def notebooks(session: nox.Session) -> None:
    """Execute docs/notebooks; `nox -s notebooks -- --write` stores what comes out."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run(tool("python"), "-m", "tests.notebooks", *session.posargs, env=threads)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def benchmarks(session: nox.Session) -> None:
    """Ratios side by side: `nox -s benchmarks -- --data path/to/ACDC`."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run(tool("python"), "benchmarks/data.py", *session.posargs, env=threads)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def scheduling(session: nox.Session) -> None:
    """What an executor costs a run: `nox -s scheduling -- --runs 200 [--slurm FILE]`."""
    session.run(tool("python"), "benchmarks/scheduling.py", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def slurm(session: nox.Session) -> None:
    """The tests that want a Slurm; of two nodes on this machine, one is lost."""
    found = session.run("sinfo", "--noheader", external=True, silent=True)
    session.log(f"on {found}")
    session.run(tool("python"), "-m", "pytest", "-m", "slurm", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def scaling(session: nox.Session) -> None:
    """Cost against sizes, backbones and runs, drawn anew: `nox -s scaling -- --repeats 5`."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    pictures = ["--pictures", "docs/pictures"]
    session.run(tool("python"), "benchmarks/scaling.py", *pictures, *session.posargs, env=threads)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def planner(session: nox.Session) -> None:
    """Memory planned beside memory held: `nox -s planner -- --only S9`."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run(tool("python"), "benchmarks/planner.py", *session.posargs, env=threads)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def gpu_memory(session: nox.Session) -> None:
    """What fits which GPU, a table; `nox -s gpu_memory -- --check`: the plan beside real steps."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run(tool("python"), "benchmarks/gpu_memory.py", *session.posargs, env=threads)


@nox.session(python=PYTHON, default=False)
def methods(session: nox.Session) -> None:
    """A step beside SAMed's and nnU-Net's: `nox -s methods -- --size 512 --precision bf16`."""
    session.install("-c", "constraints.txt", "-e", ".", env=INSTALL)
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run("python", "benchmarks/methods.py", *session.posargs, env=threads)


@nox.session(python=PYTHON, default=False)
def gpu(session: nox.Session) -> None:
    """What wants a GPU: its tests, then step times as JSON: `nox -s gpu -- --save gpu.json`."""
    session.install("-c", "constraints.txt", "-e", ".[bench,test]", env=INSTALL)
    found = (
        "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 'no GPU that torch sees')"
    )
    session.run("python", "-c", found)
    session.run("spsam", "doctor")
    session.run("python", "-m", "pytest", "-m", "gpu")
    session.run("python", "benchmarks/gpu.py", *session.posargs)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Style, format and the direction of imports; an environment of its own, ready in seconds."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    session.install("-c", "constraints.txt", *extras["lint"], env=INSTALL)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # The checkout itself is analysed: nothing of the project or its dependencies is imported.
    session.run("lint-imports", env={"PYTHONPATH": os.getcwd()})


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    session.run(tool("mypy"), "--strict", *(session.posargs or ["-p", "spsam"]))


@nox.session(venv_backend="none", requires=["environment"], default=False)
def docs(session: nox.Session) -> None:
    """The site in site/, readable offline; `nox -s docs -- serve` shows it while you write."""
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    session.run(tool("mkdocs"), *(session.posargs or ["build"]), env=quiet)


@nox.session(venv_backend="none", default=False)
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew; `nox -s constraints -- --upgrade` takes newer versions."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras"]
    options = ["--universal", "--python-version", SUPPORTED[0]]
    # No addresses, no comments: a file that reads and compares well.
    plain = ["--no-header", "--no-annotate", "--no-emit-index-url"]
    target = ["--quiet", "--output-file", "constraints.txt"]
    session.run(*command, *options, *plain, *target, *session.posargs)
