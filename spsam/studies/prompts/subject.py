"""The network that a study of prompts asks: plain SAM, or a trained run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.identity import run_id
from spsam.config.overrides import leaves
from spsam.config.schema import ArmConfig, RunConfig
from spsam.engine.weights import origin_of
from spsam.errors import InputError, Problem, shortened
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.arms import load_arm
from spsam.registry.networks import needs
from spsam.registry.trust import with_plugins
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request
from spsam.studies.runs.listing import read_config
from spsam.studies.runs.reference import find_run

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.plan import Plan
    from spsam.data.split import Split
    from spsam.model.sam.origin import Origin


@dataclass(frozen=True)
class Subject:
    """A network and the cases it is asked about.

    Attributes:
        config: Of the run; for plain SAM, of the run that would train nothing.
        plan: Patch size and spacing.
        dataset: The data.
        split: Its test cases are asked about.
        device: Where it computes.
        checkpoint: SAM's weights; None for random ones.
        run: The trained run; None for plain SAM.
    """

    config: RunConfig
    plan: Plan
    dataset: DataSet
    split: Split
    device: str
    checkpoint: Path | None
    run: RunFolder | None = None

    @property
    def identity(self) -> str:
        """16 hex digits of all that an answer depends on, prompts aside."""
        return self.run.run_id if self.run is not None else run_id(self.config)

    @cached_property
    def weights(self) -> Origin | None:
        """Where its SAM's weights come from; None for a network without SAM."""
        return origin_of(self.config, self.checkpoint)

    @property
    def label(self) -> str:
        """What it is called in tables."""
        backbone = self.config.arm.backbone
        sam = f"{backbone.name}, {backbone.weights} weights"
        if self.run is None:
            size = backbone.encoder_size or self.plan.patch_size[1:]
            height, width = (size, size) if isinstance(size, int) else size
            return f"plain SAM ({sam}, input {height}×{width})"
        return f"{self.config.arm.name} seed {self.config.seed}, run {self.run.run_id} ({sam})"


def plain_sam(
    arm: str,
    *,
    home: Path,
    data: str,
    preset: str,
    overrides: Mapping[str, Any],
    checkpoint: Path | None,
    device: str,
    plugins: Sequence[Path],
    backend: Backend,
) -> Subject:
    """SAM as it is, on a data set's test cases, at the input size that its weights are made for.

    Another size is a value: `backbone.encoder_size`, null for the patch's.

    Raises:
        InputError: With every mistake in data, values and weights, or if the arm adds adapters.
    """
    if ("backbone", "encoder_size") not in dict(leaves(overrides)):
        with suppress(InputError):  # which the planner reports with all others
            made = load_arm(arm, overrides, preset=preset, plugins=plugins)
            if made.backbone.encoder_size is None:
                overrides = {**overrides, "backbone.encoder_size": native_input(made)}
    request = Request(
        arms=[arm],
        home=home,
        data=data,
        preset=preset,
        overrides=overrides,
        checkpoint=checkpoint,
        device=device,
        plugins=plugins,
    )
    ablation = plan_ablation(request, backend)
    if len(ablation.arms) != 1:
        raise InputError(f"arm '{shortened(arm)}': expected one arm, got {len(ablation.arms)}")
    (planned,) = ablation.arms
    _takes_prompts(planned.arm, f"arm '{arm}'")
    if [block.name for block in planned.arm.blocks.of("adapter")] != ["none"]:
        raise InputError(
            f"arm '{arm}' has adapters, untrained: plain SAM is an arm with blocks.adapter none; "
            "a trained network is named by --run"
        )
    return Subject(
        config=planned.runs[0].config,
        plan=planned.plan,
        dataset=ablation.dataset,
        split=ablation.split,
        device=ablation.device,
        checkpoint=planned.checkpoint,
    )


def _takes_prompts(arm: ArmConfig, named: str) -> None:
    if "prompt" not in needs(arm):
        raise InputError(
            f"{named}: expected a network that takes prompts, such as self_prompt_sam, "
            f"got {arm.network.name}"
        )


def native_input(arm: ArmConfig) -> int | tuple[int, int]:
    """The encoder's input that SAM's weights are made for; a patch's aspect is kept.

    Returns:
        The side of a square; (h, w) for an oblong patch, whose longer side has that length.
    """
    spec = backbone_spec(arm.backbone.name)
    size = arm.patch.size
    if size is None or isinstance(size, int) or size[0] == size[1]:
        return spec.native_size
    tokens = [max(1, round(spec.native_grid[0] * side / max(size))) for side in size]
    return tokens[0] * spec.patch, tokens[1] * spec.patch


def trained_run(
    named: str,
    *,
    home: Path,
    data: str | None,
    checkpoint: Path | None,
    device: str,
    plugins: Sequence[Path] = (),
    backend: Backend,
) -> Subject:
    """A run, with its network, its patch and its data.

    Args:
        named: As `spsam.studies.runs.reference.find_run` takes it.
        home: The folder of all results.
        data: The run's data set; None where it is a built-in one.
        checkpoint: SAM's weights, where the run had some; None takes the path it was given.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        plugins: Folders with components of the user's own that the run may have.
        backend: The engine.

    Raises:
        InputError: If there is no such run, it is not trained, has a component that is not at hand,
            or data or weights are not its own.
    """
    from spsam.data.plan import VERSION, Plan
    from spsam.data.split import split_of_hash

    folder = find_run(named, home)
    config = with_plugins(read_config(folder), plugins, folder.config)
    _takes_prompts(config.arm, f"--run {named}")
    dataset = dataset_of(folder, config, data)
    if config.data.preparation != VERSION[dataset.modality]:
        raise InputError(
            f"run {folder.run_id} was trained on {dataset.modality} prepared by version "
            f"{config.data.preparation} of preparation, this is version "
            f"{VERSION[dataset.modality]}: its network would see other intensities; train it again "
            "(spsam predict takes the intensities that are in the checkpoint)"
        )
    split = split_of_hash(
        dataset, _split_name(config, dataset), config.data.fold, config.data.split_hash
    )
    if split.hash != config.data.split_hash:
        raise InputError(
            f"run {folder.run_id} had the split {config.data.split_name} (hash "
            f"{config.data.split_hash}), the data set now has {split.hash}"
        )
    return Subject(
        config=config,
        plan=Plan.from_dict(folder.read()["plan"]),
        dataset=dataset,
        split=split,
        device=backend.device(device),
        checkpoint=weights_of(config, checkpoint, backend),
        run=folder,
    )


def dataset_of(folder: RunFolder, config: RunConfig, data: str | None) -> DataSet:
    """The data set that a run was trained on.

    Args:
        folder: The run's.
        config: The run's.
        data: Where it is; None where it is a built-in one.

    Raises:
        InputError: If it is not given, or another one.
    """
    from spsam.data.dataset import BUILT_IN, open_dataset

    if data is None and config.data.name not in BUILT_IN:
        raise InputError(
            f"run {folder.run_id} is of the data set '{config.data.name}': give --data"
        )
    dataset = open_dataset(data or config.data.name)
    if dataset.fingerprint != config.data.fingerprint:
        raise InputError(
            f"run {folder.run_id} was trained on {config.data.name} (fingerprint "
            f"{config.data.fingerprint}), --data is {dataset.name} ({dataset.fingerprint}): "
            "a run is studied on its own data set"
        )
    return dataset


def check_comparable(named: str, home: Path, subject: Subject) -> None:
    """Whether a run's predictions can stand beside those of what is studied.

    Args:
        named: As `spsam.studies.runs.reference.find_run` takes it.
        home: The folder of all results.
        subject: What is studied.

    Raises:
        InputError: If there is no such run, it is of other data, or it predicted other cases.
    """
    run = find_run(named, home, "--compare ")
    theirs, ours = read_config(run).data, subject.config.data
    if theirs.fingerprint != ours.fingerprint:
        raise InputError(
            f"--compare {named}: the run is of {theirs.name} (fingerprint {theirs.fingerprint}), "
            f"the studied one of {ours.name} ({ours.fingerprint})"
        )
    if not any((run.predictions / f"{case}.nii.gz").is_file() for case in subject.split.test):
        raise InputError(
            f"--compare {named}: the run predicted none of the {len(subject.split.test)} test "
            f"cases here (split {ours.split_name}, fold {ours.fold}); its own are of split "
            f"{theirs.split_name}, fold {theirs.fold}"
        )


def _split_name(config: RunConfig, dataset: DataSet) -> str | None:
    """A split's name where the data set knows it; a file's is not kept, its hash is compared."""
    from spsam.data.split import MADE

    name = config.data.split_name
    return name if name in ("file", *MADE, *dataset.splits) else None


def weights_of(config: RunConfig, given: Path | None, backend: Backend) -> Path | None:
    """SAM's weights of a run: those given, else where it had them; None for random ones.

    Raises:
        InputError: If there is no such file, or it has other weights.
    """
    wanted = config.checkpoint_sha256
    if wanted is None:
        return None
    path = given or config.arm.backbone.checkpoint
    if path is None and config.arm.backbone.weights == "shipped":
        path = backbone_spec(config.arm.backbone.name).shipped_weights
    if path is None or not path.is_file():
        raise InputError(
            f"the run used weights of {config.arm.backbone.name}: give them with "
            f"--checkpoint{f'; there is no file {path}' if path else ''}; "
            f"{backbone_spec(config.arm.backbone.name).published}"
        )
    if backend.file_sha256(path) != wanted:
        raise InputError(Problem("these are not the weights that the run used", path))
    return path
