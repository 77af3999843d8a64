"""The network of a prompt study: plain SAM, or a trained run."""

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
from spsam.model.sam.backbones import backbone_spec, encoder_input
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
    """A network and the cases on which it is evaluated.

    Attributes:
        config: The run's configuration; for plain SAM, that of a run without training.
        plan: Patch size and spacing.
        dataset: The data set.
        split: The split, whose test cases are evaluated.
        device: The device.
        checkpoint: The file with SAM's weights; None for random weights.
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
        """A hash of all that results depend on except the prompts, 16 digits."""
        return self.run.run_id if self.run is not None else run_id(self.config)

    @cached_property
    def weights(self) -> Origin | None:
        """The origin of SAM's weights; None for a network without SAM."""
        return origin_of(self.config, self.checkpoint)

    @property
    def label(self) -> str:
        """The network's name in tables."""
        backbone = self.config.arm.backbone
        sam = f"{backbone.name}, {backbone.weights} weights"
        if self.run is None:
            spec, (_, *in_plane) = backbone_spec(backbone.name), self.plan.patch_size
            height, width = encoder_input(backbone.encoder_size, (in_plane[0], in_plane[1]), spec)
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
    """Returns unmodified SAM on a data set's test cases, with the input size of its weights.

    `backbone.encoder_size` in `overrides` sets another input size; null uses the patch's. A
    multiple of the patch's size in a preset is ignored.

    Raises:
        InputError: With every problem in data, values and weights, or if the arm has adapters.
    """
    if ("backbone", "encoder_size") not in dict(leaves(overrides)):
        with suppress(InputError):  # the planner reports it with all other problems
            made = load_arm(arm, overrides, preset=preset, plugins=plugins)
            if made.backbone.encoder_size is None or isinstance(made.backbone.encoder_size, str):
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
            f"arm '{arm}' has untrained adapters: expected an arm with blocks.adapter none for "
            "plain SAM; specify a trained network with --run"
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
            f"{named}: expected a network that accepts prompts, such as self_prompt_sam, "
            f"got {arm.network.name}"
        )


def native_input(arm: ArmConfig) -> int | tuple[int, int]:
    """Returns the input size of SAM's weights, adapted to the aspect ratio of the patch.

    Returns:
        The side of a square; (h, w) for a non-square patch, whose longer side has that length.
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
    """Returns a trained run with its network, its patch size and its data.

    Args:
        named: The run, as for `spsam.studies.runs.reference.find_run`.
        home: The folder of all results.
        data: The run's data set; None if it is a built-in one.
        checkpoint: SAM's weights, if the run used any; None: the file recorded by the run.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        plugins: Folders with the user's own components that the run may use.
        backend: The engine.

    Raises:
        InputError: If the run does not exist, is not trained or has an unavailable component, or
            if data or weights are not its own.
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
            f"{config.data.preparation} of the preparation, but this is version "
            f"{VERSION[dataset.modality]}, which yields other intensities; train it again "
            "(spsam predict uses the intensities stored in the checkpoint)"
        )
    split = split_of_hash(
        dataset, _split_name(config, dataset), config.data.fold, config.data.split_hash
    )
    if split.hash != config.data.split_hash:
        raise InputError(
            f"run {folder.run_id} used the split {config.data.split_name} (hash "
            f"{config.data.split_hash}), but the data set now has {split.hash}"
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
    """Opens the data set that a run was trained on.

    Args:
        folder: The run's folder.
        config: The run's configuration.
        data: Name or folder of the data set; None if it is a built-in one.

    Raises:
        InputError: If it is missing, or another data set.
    """
    from spsam.data.dataset import BUILT_IN, open_dataset

    if data is None and config.data.name not in BUILT_IN:
        raise InputError(
            f"run {folder.run_id} used the data set '{config.data.name}': give it with --data"
        )
    dataset = open_dataset(data or config.data.name)
    if dataset.fingerprint != config.data.fingerprint:
        raise InputError(
            f"run {folder.run_id} was trained on {config.data.name} (fingerprint "
            f"{config.data.fingerprint}), but --data is {dataset.name} ({dataset.fingerprint}): "
            "give the run's own data set"
        )
    return dataset


def check_comparable(named: str, home: Path, subject: Subject) -> None:
    """Checks that a run's predictions can be compared with those of the study's network.

    Args:
        named: The run, as for `spsam.studies.runs.reference.find_run`.
        home: The folder of all results.
        subject: The study's network.

    Raises:
        InputError: If the run does not exist, has other data, or has predicted other cases.
    """
    run = find_run(named, home, "--compare ")
    theirs, ours = read_config(run).data, subject.config.data
    if theirs.fingerprint != ours.fingerprint:
        raise InputError(
            f"--compare {named}: the run used {theirs.name} (fingerprint {theirs.fingerprint}), "
            f"the studied one {ours.name} ({ours.fingerprint})"
        )
    if not any((run.predictions / f"{case}.nii.gz").is_file() for case in subject.split.test):
        raise InputError(
            f"--compare {named}: the run has predicted none of the {len(subject.split.test)} test "
            f"cases here (split {ours.split_name}, fold {ours.fold}); its own are those of split "
            f"{theirs.split_name}, fold {theirs.fold}"
        )


def _split_name(config: RunConfig, dataset: DataSet) -> str | None:
    """Returns the name of a run's split; None if the data set lacks it, e.g. a split file."""
    from spsam.data.split import MADE

    name = config.data.split_name
    return name if name in ("file", *MADE, *dataset.splits) else None


def weights_of(config: RunConfig, given: Path | None, backend: Backend) -> Path | None:
    """Returns the file with SAM's weights for a run: the given or recorded one; None if random.

    Raises:
        InputError: If the file does not exist, or contains other weights.
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
