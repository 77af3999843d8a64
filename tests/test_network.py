"""No command uses a network, except the address that a tracking URI or a storage names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.layouts import write_acdc

# Python runs this as `sitecustomize` at its start, in every process that a command starts, too.
WATCH = """
import json, os, sys

ASKED = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request")

def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if address is None or isinstance(address, (str, bytes)):
            return  # connected already, or within the machine
    elif event in ASKED:
        address = args[:2]
    else:
        return
    with open(os.environ["WATCHED"], "a") as log:
        log.write(json.dumps([event, str(address), sys.argv]) + "\\n")
    raise PermissionError(f"{event}: no network here")

sys.addaudithook(watch)
"""

DRIVER = """
import json, sys
from spsam.cli.main import app

for words in json.load(sys.stdin):
    try:
        app(words, standalone_mode=True)
    except SystemExit as end:
        print("EXIT", end.code, *words, flush=True)
"""

FEW = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]
SET = [word for value in FEW for word in ("--set", value)]


def run(
    commands: list[list[str]], folder: Path, **environment: str
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Each command's exit code, and what was asked of the network."""
    (folder / "watch").mkdir(exist_ok=True)
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    log = folder / "watched.jsonl"
    log.write_text("")
    own = [str(folder / "watch"), *filter(None, [os.environ.get("PYTHONPATH")]), str(Path.cwd())]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(commands),
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"},
            "PYTHONPATH": os.pathsep.join(own),
            "WATCHED": str(log),
            "SPSAM_HOME": str(folder / "home"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    ends = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("EXIT ")]
    assert len(ends) == len(commands), done.stderr
    asked = [tuple(json.loads(line)[:2]) for line in log.read_text().splitlines()]
    wrong = {words: done.stderr[-3000:] for _, code, words in ends if code != "0"}
    return {words: int(code) for _, code, words in ends}, asked or list(wrong.items())


@pytest.mark.slow
def test_every_verb_works_without_a_network(tmp_path: Path) -> None:
    data = str(write_acdc(tmp_path / "acdc"))
    image = str(next((tmp_path / "acdc").glob("patient*/*_frame[0-9][0-9].nii.gz")))
    where = ["--data", data, "--preset", "smoke"]
    space = {"title": "x", "arm": "S3", "space": {"blocks.adapter.ratio": [0.25, 0.5]}}
    (tmp_path / "space.yaml").write_text(json.dumps(space))
    pretrain = [f"--set={value}" for value in ("steps=1", "images=1", "masks=1", "precision=fp32")]
    codes, asked = run(
        [
            ["registry", "list"],
            ["registry", "show", "dfused"],
            ["data", "list"],
            ["data", "check", data, "--workers", "1"],
            ["ablate", "S3", *where, *SET, "--jobs", "1"],
        ],
        tmp_path,
    )
    assert set(codes.values()) == {0}, (codes, asked)
    assert asked == []
    runs = tmp_path / "home" / "runs"
    trained = next(path.parent for path in runs.glob("*/checkpoint.pt"))
    references = tmp_path / "references"
    references.mkdir()
    label = Path(image).with_name(Path(image).name.replace(".nii.gz", "_gt.nii.gz"))
    shutil.copy(label, references / Path(image).name)
    codes, asked = run(
        [
            ["train", "S3", *where, *SET],
            ["predict", str(trained), image, "-o", "seg"],
            ["evaluate", "seg", str(references)],
            ["prompts", "--data", data, "--prompts", "box", "--limit", "1"],
            ["sweep", "space.yaml", *where, *SET, "--trials", "1"],
            ["pretrain", *pretrain, "--save", "sam.pt", "--workers", "0", "--questions", "1"],
            ["bench", "S1", "--size", "32", "--repeats", "1"],
            ["report", "--no-pdf", "--no-figures"],
            ["report", "verify"],
            ["report", "ledger", "S1"],
            ["sync"],
        ],
        tmp_path,
    )
    assert set(codes.values()) == {0}, (codes, asked)
    assert asked == []
    address = "127.0.0.1"
    _, asked = run(
        [["sync"]],
        tmp_path,
        MLFLOW_TRACKING_URI=f"http://{address}:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    assert asked
    assert all(address in place for event, place in asked if event.startswith("socket."))
