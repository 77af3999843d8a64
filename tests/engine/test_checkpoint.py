"""Damaged checkpoints: the sound one before is taken, whatever `torch.load` makes of the damage."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
import torch

from spsam.engine.checkpoint import last_sound, previous, read_whole, save_whole
from spsam.errors import InputError

STATE = {
    "about": {"config": "text", "plan": {"a": [1, 2.5, None]}},
    "progress": {"steps": 3, "history": [{"loss": 0.5}]},
    "blocks": {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3).bool()},
    "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "groups": [{"lr": 0.1}]},
}


def test_every_damaged_bit_of_the_pickle_leads_to_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_whole(path, STATE)
    save_whole(path, STATE, keep=True)
    whole = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        (pickle,) = [each for each in archive.infolist() if each.filename.endswith("data.pkl")]
    rng = random.Random(0)
    fell_back = 0
    for _ in range(400):
        damaged = bytearray(whole)
        place = pickle.header_offset + rng.randrange(pickle.file_size + 60)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        state, note, _ = last_sound(path)
        assert state is not None
        assert state["progress"] == STATE["progress"]
        assert torch.equal(state["blocks"]["a.weight"], STATE["blocks"]["a.weight"])  # type: ignore[index]
        fell_back += "resuming from checkpoint.previous.pt" in note
    assert fell_back > 200


def test_a_damaged_hash_or_its_key_does_not_skip_the_check(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_whole(path, STATE)
    whole = path.read_bytes()
    assert b"sha256" in whole
    path.write_bytes(whole.replace(b"sha256", b"sha257"))
    with pytest.raises(InputError, match="hash does not match"):
        read_whole(path)
    torch.save({**STATE, "sha256": None}, path)
    with pytest.raises(InputError, match="hash does not match"):
        read_whole(path)
    # One of the first version, which knew neither.
    torch.save({"blocks": {}}, path)
    assert read_whole(path) == {"blocks": {}}
    assert not previous(path).exists()
