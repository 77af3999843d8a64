"""Killed at any moment, a training ends with the bits of one that was left alone."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import resource_sharer
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing import get_sharing_strategy

from spsam.engine.checkpoint import previous, read_last, read_whole, save_whole, trained_state
from spsam.engine.training.batches import DeadWorkerError, _told_apart
from spsam.engine.training.train import fit
from spsam.errors import InputError, SpsamError
from spsam.registry.arms import load_arm
from spsam.signals import Stopped

from ..networks import ARMS, small
from .test_train import Patches, training

SCHEDULE = {
    "train.epochs": 4,
    "train.iterations": 3,
    "train.generator_epochs": 2,
    "train.batch_size": 2,
    "train.checkpoint_every": 2,
    # As good as after every step: epochs are left in their midst.
    "train.checkpoint_minutes": 1e-9,
}
KILLS = 20
SIZE = 32

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Small(Patches):
    """Small patches that depend on nothing but their number."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {key: value[..., :SIZE, :SIZE] for key, value in super().__getitem__(index).items()}


class Drawing(Patches):
    """Patches that come with what the global generators draw, as a careless block would."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        patch = super().__getitem__(index)
        image, label = (patch[key][..., :SIZE, :SIZE] for key in ("image", "label"))
        return {"image": image + 0.01 * torch.rand(1) + 0.01 * random.random(), "label": label}


def run(folder: Path, delay: float = 0.0, **options: Any) -> dict[str, torch.Tensor]:
    random.seed(3)
    torch.manual_seed(3)
    network = small(ARMS[-1], image_size=SIZE)
    usual: dict[str, Any] = {
        "patches": Drawing(24),
        "on_step": lambda done, total: time.sleep(delay),
    }
    fit(training(folder, network, load_arm(ARMS[-1], SCHEDULE), **(usual | options)))
    return {key: value.clone() for key, value in trained_state(network).items()}


def result(folder: Path) -> list[dict[str, float]]:
    """The logged metrics, times aside."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if "seconds" not in key}
        for line in lines
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, run(folder)


@pytest.mark.slow
@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_twenty_moments_it_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: Any
) -> None:
    moments = random.Random(1)
    context = multiprocessing.get_context("fork")
    codes = []
    for number in range(KILLS):
        child = context.Process(target=run, args=(tmp_path, 0.02))
        child.start()
        child.join(moments.uniform(0.02, 1.0))
        if child.exitcode is None:
            assert child.pid is not None
            os.kill(child.pid, (signal.SIGKILL, signal.SIGTERM)[number % 2])
        child.join()
        codes.append(child.exitcode)
    # Some were killed at once, and none failed by itself.
    assert -signal.SIGKILL in codes
    assert set(codes) <= {0, 1, -signal.SIGKILL, -signal.SIGTERM}
    last = run(tmp_path)
    folder, expected = undisturbed
    assert all(torch.equal(last[key], expected[key]) for key in expected)
    ours, theirs = (read_whole(each / "checkpoint.pt") for each in (tmp_path, folder))
    assert torch.equal(ours["random"]["torch"], theirs["random"]["torch"])
    assert ours["random"]["python"] == theirs["random"]["python"]
    assert result(tmp_path) == result(folder)


@posix
def test_sigterm_keeps_the_step_under_way(tmp_path: Path, undisturbed: Any) -> None:
    def stop(done: int, total: int) -> None:
        if done == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    overrides = {"train.checkpoint_minutes": None}
    with pytest.raises(Stopped) as stopped:
        run_with(tmp_path, overrides, on_step=stop)
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert read_whole(tmp_path / "checkpoint.pt")["progress"]["steps"] == 5
    last = run(tmp_path)
    assert all(torch.equal(last[key], value) for key, value in undisturbed[1].items())
    assert result(tmp_path) == result(undisturbed[0])


def run_with(folder: Path, overrides: dict[str, Any], **options: Any) -> None:
    random.seed(3)
    torch.manual_seed(3)
    arm = load_arm(ARMS[-1], SCHEDULE | overrides)
    fit(
        training(
            folder, small(ARMS[-1], image_size=SIZE), arm, **({"patches": Drawing(24)} | options)
        )
    )


def test_a_broken_checkpoint_is_noticed_and_the_one_before_is_taken(
    tmp_path: Path, undisturbed: Any
) -> None:
    class EnoughError(Exception):
        pass

    def enough(done: int, total: int) -> None:
        if done == 8:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(tmp_path, on_step=enough)
    last = tmp_path / "checkpoint.pt"
    content = bytearray(last.read_bytes())
    # One bit of a weight: nothing but the hash can tell.
    weight = max(read_whole(last)["blocks"].values(), key=lambda value: value.abs().sum())
    content[content.index(weight.numpy().tobytes())] ^= 1
    last.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_whole(last)
    notes: list[str] = []
    weights = run(tmp_path, on_note=notes.append)
    assert "damaged" in notes[0]
    assert notes[0].endswith("resuming from checkpoint.previous.pt")
    assert all(torch.equal(weights[key], value) for key, value in undisturbed[1].items())


@pytest.mark.parametrize("damage", ["empty", "half", "other", "letters"])
def test_two_broken_checkpoints_end_the_run_with_advice(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    save_whole(path, {"blocks": {"a": torch.ones(100)}})
    whole = path.read_bytes()
    other = tmp_path / "other.pt"
    torch.save([1, 2], other)
    bad = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "other": other.read_bytes(),
        "letters": b"not a checkpoint",
    }[damage]
    path.write_bytes(bad)
    previous(path).write_bytes(bad)
    with pytest.raises(SpsamError, match=r"(?s)checkpoint\.pt: .*previous\.pt: .*remove these"):
        read_last(path)


def test_a_kill_between_two_renames_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_whole(path, {"blocks": {}, "steps": 1}, keep=True)
    replace, calls = os.replace, []

    def killed(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_whole(path, {"blocks": {}, "steps": 2}, keep=True)
    state, note = read_last(path)
    assert state is not None
    assert state["steps"] == 1
    assert "is missing" in note


def test_a_full_disk_ends_the_run_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Any
) -> None:
    fsync, count = os.fsync, []

    def full(handle: int) -> None:
        count.append(handle)
        # Two a checkpoint, its own and its folder's: the fourth checkpoint finds no room.
        if len(count) == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SpsamError, match=r"No space left.*free disk space"):
            run(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "checkpoint.previous.pt",
        "checkpoint.pt",
        "metrics.jsonl",
    ]
    assert read_whole(tmp_path / "checkpoint.pt")["progress"]["steps"] == 2
    weights = run(tmp_path)
    assert all(torch.equal(weights[key], value) for key, value in undisturbed[1].items())


def children() -> set[int]:
    """Processes of this one that live."""
    return {process.pid for process in multiprocessing.active_children() if process.pid}


@posix
def test_a_dead_data_worker_costs_steps_and_nothing_else(tmp_path: Path) -> None:
    killed: list[int] = []
    notes: list[str] = []
    others = children()

    def kill(done: int, total: int) -> None:
        # torch's handler of a death would raise here, or wherever this process is.
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
        # The second only after the first was noticed: a dead worker's last batches are still used.
        if done >= 2 and len(killed) == len(notes) < 2:
            workers = children() - others
            killed.append(len(workers))
            for worker in workers:
                os.kill(worker, signal.SIGKILL)

    # Patches of their own random state, since workers draw from theirs.
    plain = {"patches": Small(24)}
    once, other = tmp_path / "once", tmp_path / "other"
    once.mkdir()
    other.mkdir()
    run_with(once, {}, workers=0, **plain)
    run_with(other, {}, workers=1, on_step=kill, on_note=notes.append, **plain)
    assert killed == [1, 1]
    assert len(notes) == 2
    assert "a data worker died; resuming from step" in notes[0]
    expected = read_whole(once / "checkpoint.pt")["blocks"]
    got = read_whole(other / "checkpoint.pt")["blocks"]
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert result(once) == result(other)


def test_workers_that_die_again_and_again_end_the_run(tmp_path: Path) -> None:
    class Deadly(Small):
        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    notes: list[str] = []
    with pytest.raises(SpsamError, match=r"died 4 times after step 0.*fewer --workers"):
        run(tmp_path, patches=Deadly(24), on_note=notes.append)
    assert len(notes) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_a_patch_that_cannot_be_made_is_no_dead_worker(tmp_path: Path, workers: int) -> None:
    class Broken(Small):
        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            raise RuntimeError("a broken patch")

    notes: list[str] = []
    others = children()
    with pytest.raises(RuntimeError, match="a broken patch") as held:
        run_with(tmp_path, {}, workers=workers, patches=Broken(24), on_note=notes.append)
    assert not notes
    # However long the error is held: what is deaf to signals would keep the process from ending.
    assert held.tb is not None
    assert children() <= others


@pytest.mark.skipif(get_sharing_strategy() != "file_descriptor", reason="shares by a file's name")
@pytest.mark.parametrize("kind", [ConnectionResetError, FileNotFoundError, EOFError])
def test_what_a_worker_sent_and_did_not_hand_over_is_its_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """It died just now: its connections are closed, and the system says that it lives."""
    connect = resource_sharer._resource_sharer.get_connection
    calls: list[Any] = []
    notes: list[str] = []

    def lost(identity: Any) -> Any:
        calls.append(identity)
        # A batch has an image and a label: the third batch's.
        if len(calls) == 5:
            raise kind
        return connect(identity)

    monkeypatch.setattr(resource_sharer._resource_sharer, "get_connection", lost)
    run_with(tmp_path, {}, workers=1, patches=Small(24), on_note=notes.append)
    assert len(notes) == 1
    assert "a data worker died; resuming from step 2" in notes[0]


def test_a_thread_that_pins_memory_finds_the_dead_too() -> None:
    def failing(error: Exception) -> Iterator[Any]:
        yield from ()
        raise error

    where = "in pin memory thread for device 0."
    for kind in (ConnectionResetError, FileNotFoundError, EOFError):
        with pytest.raises(DeadWorkerError, match=where):
            next(_told_apart(failing(kind(f"Caught {kind.__name__} {where}")), 1))
        with pytest.raises(kind, match="worker process"):
            next(_told_apart(failing(kind("Caught it in DataLoader worker process 0.")), 1))
    with pytest.raises(RuntimeError, match="out of memory"):
        next(_told_apart(failing(RuntimeError(f"CUDA out of memory {where}")), 1))


@pytest.mark.parametrize("kind", [FileNotFoundError, EOFError])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_a_patch_cannot_read_is_no_dead_worker(
    tmp_path: Path, workers: int, kind: type[Exception]
) -> None:
    class Missing(Small):
        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            raise kind("no such volume")

    notes: list[str] = []
    with pytest.raises(kind, match="no such volume"):
        run_with(tmp_path, {}, workers=workers, patches=Missing(24), on_note=notes.append)
    assert not notes


def test_a_checkpoint_of_the_first_version_is_gone_on_from(tmp_path: Path) -> None:
    network = small(ARMS[-1], image_size=SIZE)
    arm = load_arm(ARMS[-1], SCHEDULE)
    fit(training(tmp_path, network, arm, patches=Small(24)))
    state = read_whole(tmp_path / "checkpoint.pt")
    old = {key: state[key] for key in ("blocks", "optimizer")} | {"epochs": 3}
    torch.save(old, tmp_path / "checkpoint.pt")
    epochs: list[float] = []

    def note(metrics: dict[str, float]) -> None:
        epochs.append(metrics["epoch"])

    fit(training(tmp_path, network, arm, patches=Small(24), on_epoch=note))
    assert epochs == [3]
    assert [line["epoch"] for line in result(tmp_path)] == [0, 1, 2, 3]
