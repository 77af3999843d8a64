"""What a study needs of the engine, in one object; heavy things are imported when needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.schema import ArmConfig, RunConfig
from spsam.engine.run_spec import NetworkSize, RunSpec
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.plan import Plan
    from spsam.data.preparation.store import PreparedStore
    from spsam.data.split import Split
    from spsam.engine.external_spec import ExternalSpec

OnEpoch = Callable[[dict[str, float]], None]
OnProgress = Callable[[str, int, int], None]
OnNote = Callable[[str], None]


class Backend:
    """The engine in this process. Tests take its place; processes get a copy.

    Attributes:
        modules: What a run imports, for a process that imports before it is told what to run.
    """

    modules: tuple[str, ...] = (
        "spsam.engine.run",
        "spsam.model.networks.self_prompt_sam",
        "spsam.data.sampling.augment",
        "segment_anything",
        "timm",
    )

    def gpus(self) -> int:
        """How many this machine has."""
        import torch

        return torch.cuda.device_count()

    def device(self, name: str) -> str:
        """The device that `--device` names.

        Raises:
            InputError: If there is no such device.
        """
        from spsam.engine.device import pick_device

        return pick_device(name)

    def file_sha256(self, path: Path) -> str:
        """Hash of a checkpoint's content."""
        from spsam.model.sam.state_file import file_sha256

        return file_sha256(path)

    def size(self, arm: ArmConfig, dataset: DataSet, plan: Plan) -> NetworkSize:
        """Counts an arm's parameters; needs no memory for them.

        Raises:
            InputError: If the arm's blocks do not fit together.
        """
        from spsam.engine.assemble import network_size

        return network_size(
            arm,
            in_channels=dataset.in_channels,
            num_classes=dataset.num_classes,
            patch=plan.patch_size,
            spacing=plan.spacing,
        )

    def trained_shapes(
        self, arm: ArmConfig, dataset: DataSet, plan: Plan
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of an arm's trained weights by name; needs no memory for them.

        Raises:
            InputError: If the arm's blocks do not fit together.
        """
        from spsam.engine.assemble import trained_shapes

        return trained_shapes(
            arm,
            in_channels=dataset.in_channels,
            num_classes=dataset.num_classes,
            patch=plan.patch_size,
            spacing=plan.spacing,
        )

    def check_weights(self, arm: ArmConfig, dataset: DataSet, plan: Plan, checkpoint: Path) -> None:
        """Loads a checkpoint once, before any run is begun.

        Raises:
            InputError: If it is not one of the arm's backbone.
        """
        from spsam.engine.assemble import build_network

        build_network(
            arm,
            checkpoint=checkpoint,
            in_channels=dataset.in_channels,
            num_classes=dataset.num_classes,
            depth=plan.patch_size[0],
            image_size=plan.patch_size[1:],
            spacing=plan.spacing,
        )

    def prepare(
        self, dataset: DataSet, plan: Plan, folder: Path, progress: Callable[[int, int], None]
    ) -> PreparedStore:
        """Checks, normalises and resamples every volume, once.

        Raises:
            InputError: With every problem in every file; then nothing is left behind.
        """
        from spsam.data.preparation.prepare import prepare

        return prepare(dataset, plan, folder, progress=progress)

    def training_notes(
        self,
        dataset: DataSet,
        split: Split,
        fold: int,
        store: PreparedStore,
        *,
        validated: bool = False,
    ) -> tuple[str, ...]:
        """What the user should know of prepared data before a run trains on it.

        Args:
            dataset: The data.
            split: Of them.
            fold: Which fold of the split it is.
            store: The prepared data.
            validated: Whether validation cases are scored during training.

        Raises:
            InputError: If no training case has any foreground, or no validation case where these
                are scored.
        """
        from spsam.data.split import title, unlearnable

        if validated and not any(store.classes(case) for case in split.val):
            raise InputError(
                f"no validation case of {title(split, fold)} has any foreground: there is nothing "
                "to score during training; choose another split, or train.validate_every=0"
            )
        classes = {case: store.classes(case) for case in split.train}
        missing = unlearnable(split, fold, dataset.class_names, classes)
        where = title(split, fold)
        return (
            *store.notes,
            *(
                f"no training case of {where} has class '{name}': it is not learnt"
                for name in missing
            ),
        )

    def check_devices(self, device: str, count: int, arm: ArmConfig) -> None:
        """Whether so many devices can share an arm's batch.

        Raises:
            InputError: If they cannot.
        """
        if count > 1:
            from spsam.engine.training.distributed import check_devices

            check_devices(device, count, arm.train.batch_size, arm.train.accumulate)

    def measure(
        self, config: RunConfig, plan: Plan, device: str, devices: int
    ) -> dict[str, Any] | None:
        """Memory and seconds of a few steps, see `spsam.engine.training.measure.Cost`.

        Returns:
            None where the memory does not suffice.
        """
        from spsam.engine.training.measure import measure

        cost = measure(config, plan.patch_size, device, devices, plan.spacing)
        return None if cost is None else cost.to_dict()

    def estimate(self, config: RunConfig, plan: Plan) -> dict[str, Any]:
        """Memory and seconds of a run on this processor, see `spsam.engine.training.estimate`."""
        from spsam.engine.training.estimate import estimate

        return estimate(config, plan.patch_size, plan.spacing).to_dict()

    def gpu_ways(
        self, config: RunConfig, plan: Plan, devices: int, memory: float
    ) -> list[dict[str, Any]]:
        """Ways to compute a run's batches on a GPU, see `spsam.engine.gpu_memory.ways`.

        Args:
            config: Of the run.
            plan: Its patch.
            devices: How many GPUs share a batch.
            memory: GB that a GPU has.
        """
        from spsam.engine.gpu_memory.ways import ways_on_gpu

        ways = ways_on_gpu(config, plan.patch_size, devices, memory * 1e9, plan.spacing)
        return [way.to_dict() for way in ways]

    def fit(
        self, config: RunConfig, plan: Plan, device: str, devices: int, memory: float | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """How a run's batches are computed so that they fit into memory, and what they take then.

        Args:
            config: Of the run.
            plan: Its patch.
            device: Where it computes.
            devices: How many of its kind.
            memory: GB that may be used; None takes what is free.

        Returns:
            Changes of `train`, none of which changes a result, and the cost.

        Raises:
            InputError: If it cannot be made to fit.
        """
        from spsam.engine.training.measure import fit_memory

        limit = None if memory is None else int(memory * 1e9)
        found = fit_memory(config, plan.patch_size, device, devices, limit, spacing=plan.spacing)
        changes = {
            "accumulate": found.accumulate,
            "checkpoint_activations": found.checkpoint_activations,
        }
        return changes, found.cost.to_dict()

    def score_external(
        self,
        spec: ExternalSpec,
        dataset: DataSet,
        store: PreparedStore,
        on_case: Callable[[int, int], None],
    ) -> None:
        """Scores one fold's label maps that another program made.

        Raises:
            InputError: If a file has changed since it was checked.
        """
        from spsam.engine.external import score_external

        score_external(spec, dataset, store, on_case)

    def execute(
        self, run: RunSpec, *, on_epoch: OnEpoch, on_progress: OnProgress, on_note: OnNote
    ) -> None:
        """Trains and scores one run; resumes from its checkpoint if there is one."""
        from spsam.engine.run import execute

        execute(run, on_epoch=on_epoch, on_progress=on_progress, on_note=on_note)


class GpuElsewhere(Backend):
    """Plans runs for a GPU that another machine has."""

    def device(self, name: str) -> str:
        """A GPU, whatever is here."""
        return "cuda"

    def check_devices(self, device: str, count: int, arm: ArmConfig) -> None:
        """Whether so many GPUs can share an arm's batch; how many there are is not known here.

        Raises:
            InputError: If they cannot.
        """
        if count > 1:
            from spsam.engine.training.distributed import check_shares

            check_shares(count, arm.train.batch_size, arm.train.accumulate)
