"""What `spsam doctor` finds, on machines that are there and on ones that are made up."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from spsam.config import places
from spsam.engine.trial import Trial, Trials
from spsam.studies.doctor import hardware, software
from spsam.studies.doctor.examine import examine
from spsam.studies.doctor.finding import Examination, Finding
from spsam.studies.doctor.hardware import gpus, machine, torch_build
from spsam.studies.doctor.inputs import checkpoint, data
from spsam.studies.doctor.software import packages, programs, python
from spsam.studies.doctor.steps import agreement, steps
from spsam.studies.doctor.stores import mlflow_store, optuna_store


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examination:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Examination(home=tmp_path / "results", arm="S9")


def found(check: Any, examined: Examination) -> Finding:
    (finding,) = check(examined)
    assert isinstance(finding, Finding)
    json.dumps(finding.to_dict())
    return finding


def with_(examined: Examination, **changes: Any) -> Examination:
    return Examination(**{**vars(examined), **changes})


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, as torch and the driver would describe them."""
    made = [
        SimpleNamespace(name="NVIDIA H200", total_memory=150 * 10**9, major=9, minor=0),
        SimpleNamespace(name="Tesla V100", total_memory=32 * 10**9, major=7, minor=0),
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", made.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90", "compute_90"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (10**10, 10**11))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(hardware, "driver_version", lambda: "580.1")


def test_this_machine_is_as_tested(examined: Examination) -> None:
    assert found(python, examined).status == "ok"
    versions = found(packages, examined)
    assert versions.status in ("ok", "note")
    assert torch.__version__.startswith(versions.facts["versions"]["torch"])
    assert versions.facts["tested"]["torch"]
    assert {each.check for each in machine(examined)} == {"cores", "memory", "disk"}


def test_a_package_that_lacks_is_named_with_the_command(
    examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = software._version
    monkeypatch.setattr(software, "_version", lambda name: None if name == "timm" else real(name))
    finding = found(packages, examined)
    assert finding.status == "wrong"
    assert finding.mend.startswith("pip install 'timm<2,>=")


def test_an_old_package_is_wrong_and_another_than_tested_is_a_note(
    examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = software._version
    monkeypatch.setattr(software, "_version", lambda n: "2.13.0" if n == "torch" else real(n))
    assert "'torch<3,>=2.14'" in found(packages, examined).mend
    monkeypatch.setattr(software, "_version", lambda n: "2.99.0" if n == "torch" else real(n))
    finding = found(packages, examined)
    assert finding.status == "note"
    assert "torch 2.99.0 (tested: " in finding.text


def test_a_full_disk_and_little_memory(
    examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda place: SimpleNamespace(
        total=10**12, free=10**6))  # fmt: skip
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: SimpleNamespace(
        total=10**10, available=10**9))  # fmt: skip
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert [each.status for each in machine(examined)] == ["ok", "wrong", "wrong"]


@pytest.mark.parametrize(
    ("has", "slow"),
    [
        ({"architecture": "x86_64", "avx2": True}, True),
        ({"architecture": "x86_64", "avx512_bf16": True}, False),
        ({"architecture": "x86_64", "amx_bf16": True}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_processor_without_bf16_is_a_note_with_what_to_set(
    examined: Examination, monkeypatch: pytest.MonkeyPatch, has: dict[str, Any], slow: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    cores = next(each for each in machine(examined) if each.check == "cores")
    assert cores.facts["emulates_bf16"] is slow
    assert (cores.status, "bf16" in cores.text) == (("note", True) if slow else ("ok", False))
    assert ("train.precision=fp32" in cores.mend) is slow


def test_gpus_with_memory_precisions_and_kernels(examined: Examination, two_gpus: None) -> None:
    assert found(torch_build, examined).text.endswith("built with CUDA 13.2; driver 580.1")
    newer, older = gpus(examined)
    assert newer.status == "ok"
    assert newer.text == "NVIDIA H200, 10.0 of 150.0 GB free, fp32, fp16, bf16"
    assert older.facts["precisions"] == ["fp32", "fp16"]
    # Its generation is not among the kernels, and PTX runs on later GPUs alone.
    assert older.status == "wrong"
    assert "sm_80, sm_90" in older.mend


@pytest.mark.parametrize(
    ("capability", "kernels", "runs"),
    [
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((10, 3), ["sm_100a"], True),
        ((7, 5), [], True),
    ],
)
def test_which_kernels_run_on_a_gpu(
    capability: tuple[int, int], kernels: list[str], runs: bool
) -> None:
    assert hardware._has_kernels(capability, kernels) is runs


def test_a_gpu_that_torch_cannot_use(
    examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "driver_version", lambda: "470.1")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "needs a build of torch with CUDA" in found(torch_build, examined).mend
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "driver 470.1 may be too old for CUDA 13.2" in found(torch_build, examined).mend
    assert found(gpus, examined).status == "note"


def test_the_drivers_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(
        hardware.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout="580.1\n580.1\n")
    )
    assert hardware.driver_version() == "580.1"

    def fails(*arguments: Any, **options: Any) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(hardware.subprocess, "run", fails)
    assert hardware.driver_version() is None


def test_programs_that_lack_are_notes(
    examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software.shutil, "which", lambda name: None)
    assert {each.status for each in programs(examined)} == {"note"}


def test_stores_without_an_address_are_made_later(examined: Examination) -> None:
    assert found(mlflow_store, examined).status == "ok"
    assert found(optuna_store, examined).status == "ok"
    assert not examined.home.exists()


def test_a_server_that_is_away_is_wrong_and_its_password_hidden(
    examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:geheim@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    finding = found(mlflow_store, examined)
    assert finding.status == "wrong"
    assert "MLFLOW_TRACKING_URI" in finding.mend
    assert "geheim" not in json.dumps(finding.to_dict())
    storage = "postgresql://me:geheim@127.0.0.1:9/optuna"
    finding = found(optuna_store, with_(examined, storage=storage))
    assert finding.status == "wrong"
    assert "geheim" not in json.dumps(finding.to_dict())


def test_a_damaged_database_is_wrong(examined: Examination) -> None:
    examined.home.mkdir()
    (examined.home / "mlflow.db").write_bytes(b"no database" * 100)
    assert found(mlflow_store, examined).status == "wrong"


def test_weights_are_known_by_their_hash(examined: Examination, tmp_path: Path) -> None:
    from spsam.model.sam.backbones import BACKBONES

    shipped = BACKBONES["sam_tiny"].shipped_weights
    finding = found(checkpoint, with_(examined, checkpoint=shipped))
    assert (finding.status, finding.facts["origin"]) == ("ok", "shipped")
    other = tmp_path / "other.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1)}, other)
    assert found(checkpoint, with_(examined, checkpoint=other)).status == "note"
    other.write_bytes(b"no weights")
    assert found(checkpoint, with_(examined, checkpoint=other)).status == "wrong"
    assert list(checkpoint(examined)) == []


def test_the_layout_of_data(examined: Examination, tmp_path: Path) -> None:
    assert "48 cases, 4 classes" in found(data, with_(examined, data="phantom")).text
    finding = found(data, with_(examined, data=str(tmp_path)))
    assert finding.status == "wrong"
    assert "layout is not recognised" in finding.text
    assert list(data(examined)) == []


def test_steps_fall_and_a_volume_is_segmented(examined: Examination) -> None:
    finding = found(steps, examined)
    assert finding.status == "ok"
    assert len(finding.facts["losses"]) == 3
    assert finding.facts["losses"][-1] < finding.facts["losses"][0]


def test_a_gpu_that_cannot_compute_is_a_finding(examined: Examination, two_gpus: None) -> None:
    own, first, second = steps(examined)
    assert (own.check, own.status) == ("steps cpu", "ok")
    assert [(each.check, each.status) for each in (first, second)] == [
        ("steps cuda:0", "wrong"),
        ("steps cuda:1", "wrong"),
    ]


def test_devices_agree_within_the_tolerances(tmp_path: Path) -> None:
    own = Trials("S9", tmp_path)("cpu")
    assert agreement("cuda:0", own, own).status == "ok"
    off = Trial((own.losses[0] * 1.002, *own.losses[1:]), own.labels)
    assert agreement("cuda:0", own, off).status == "wrong"
    late = Trial((*own.losses[:2], own.losses[2] * 1.02), own.labels)
    assert agreement("cuda:0", own, late).status == "wrong"
    other = Trial(own.losses, np.where(own.labels == 0, 1, 0))
    assert agreement("cuda:0", own, other).status == "wrong"
    lost = Trial((float("nan"),) * 3, own.labels)
    assert agreement("cuda:0", own, lost).status == "wrong"


def test_the_first_thing_to_mend_comes_first(examined: Examination) -> None:
    def one(name: str, status: Any) -> Any:
        return lambda examined: [Finding(name, status, "text", "do this")]

    checks = (one("a", "note"), one("b", "wrong"), one("c", "wrong"))
    report = examine(examined, checks).to_dict()
    assert report["healthy"] is False
    assert report["mend"] == {"check": "b", "text": "text", "mend": "do this"}
    assert examine(examined, checks[:1]).to_dict()["healthy"] is True


def test_without_the_list_of_versions_ranges_still_count(
    examined: Examination, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "spsam")
    assert found(packages, examined).status == "ok"
