from __future__ import annotations

from pathlib import Path

import pytest

from spsam.config.slurm import load_slurm
from spsam.errors import InputError


def test_what_a_file_leaves_out_is_the_default(tmp_path: Path) -> None:
    assert load_slurm(None).nodes == 1
    (tmp_path / "s.yaml").write_text("partition: gpu\ngpus: 2\noptions: {exclude: n1}\n")
    config = load_slurm(tmp_path / "s.yaml")
    assert (config.partition, config.gpus, config.minutes) == ("gpu", 2, 60)
    assert config.options == {"exclude": "n1"}


def test_every_mistake_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("partion: gpu\nminutes: 0\n")
    with pytest.raises(InputError) as raised:
        load_slurm(tmp_path / "s.yaml")
    said = str(raised.value)
    assert "s.yaml:1" in said
    assert "did you mean 'partition'" in said
    assert "s.yaml:2" in said
