"""The functions of the engine that studies use; heavy packages are imported on demand."""

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
OnProgress = Callable[[str, float, int], None]
OnNote = Callable[[str], None]


class Backend:
    """The engine in this process; other processes receive a copy, and tests replace it.

    Attributes:
        modules: Modules that a run imports, for processes that import them in advance.
    """

    modules: tuple[str, ...] = (
        "spsam.engine.run",
        "spsam.model.networks.self_prompt_sam",
        "spsam.data.sampling.augment",
        "segment_anything",
        "timm",
    )

    def gpus(self) -> int:
        """Returns the number of GPUs of this machine."""
        import torch

        return torch.cuda.device_count()

    def device(self, name: str) -> str:
        """Resolves the value of `--device`.

        Raises:
            InputError: If the device does not exist.
        """
        from spsam.engine.device import pick_device

        return pick_device(name)

    def file_sha256(self, path: Path) -> str:
        """Returns the hash of a checkpoint's content."""
        from spsam.model.sam.state_file import file_sha256

        return file_sha256(path)

    def size(self, arm: ArmConfig, dataset: DataSet, plan: Plan) -> NetworkSize:
        """Counts an arm's parameters without allocating them.

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
        """Returns the shapes of an arm's trained weights by name, without allocating them.

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
        """Loads a checkpoint once, before any run begins.

        Raises:
            InputError: If it does not belong to the arm's backbone.
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
            InputError: With every problem in every file; nothing is written then.
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
        """Returns notes for the user on prepared data, before a run trains on them.

        Args:
            dataset: The data set.
            split: The split.
            fold: The fold of the split.
            store: The prepared data.
            validated: Whether validation cases are evaluated during training.

        Raises:
            InputError: If no training case has any foreground, or if validation cases are
                evaluated and none of them has any.
        """
        from spsam.data.split import title, unlearnable

        if validated and not any(store.classes(case) for case in split.val):
            raise InputError(
                f"no validation case of {title(split, fold)} has any foreground, so there is "
                "nothing to score during training; choose another split, or train.validate_every=0"
            )
        classes = {case: store.classes(case) for case in split.train}
        missing = unlearnable(split, fold, dataset.class_names, classes)
        where = title(split, fold)
        return (
            *store.notes,
            *(
                f"no training case of {where} has class '{name}': it cannot be learnt"
                for name in missing
            ),
        )

    def check_devices(self, device: str, count: int, arm: ArmConfig) -> None:
        """Checks that a number of devices can share an arm's batch.

        Raises:
            InputError: If they cannot.
        """
        if count > 1:
            from spsam.engine.training.distributed import check_devices

            check_devices(device, count, arm.train.batch_size, arm.train.accumulate)

    def measure(
        self, config: RunConfig, plan: Plan, device: str, devices: int
    ) -> dict[str, Any] | None:
        """Measures memory and time of a few steps, see `spsam.engine.training.measure.Cost`.

        Returns:
            The cost as plain values; None if the memory does not suffice.
        """
        from spsam.engine.training.measure import measure

        cost = measure(config, plan.patch_size, device, devices, plan.spacing)
        return None if cost is None else cost.to_dict()

    def estimate(self, config: RunConfig, plan: Plan) -> dict[str, Any]:
        """Estimates memory and time of a run on this CPU, see `spsam.engine.training.estimate`."""
        from spsam.engine.training.estimate import estimate

        return estimate(config, plan.patch_size, plan.spacing).to_dict()

    def gpu_ways(
        self, config: RunConfig, plan: Plan, devices: int, memory: float
    ) -> list[dict[str, Any]]:
        """Returns ways to compute a run's batches on a GPU, see `spsam.engine.gpu_memory.ways`.

        Args:
            config: The run's configuration.
            plan: The plan, with the patch size.
            devices: Number of GPUs that share a batch.
            memory: Memory of a GPU in GB.
        """
        from spsam.engine.gpu_memory.ways import ways_on_gpu

        ways = ways_on_gpu(config, plan.patch_size, devices, memory * 1e9, plan.spacing)
        return [way.to_dict() for way in ways]

    def fit(
        self, config: RunConfig, plan: Plan, device: str, devices: int, memory: float | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Chooses how a run's batches are computed so that they fit into memory.

        Args:
            config: The run's configuration.
            plan: The plan, with the patch size.
            device: The device.
            devices: Number of devices of this kind.
            memory: The memory to use, in GB; None: the free memory.

        Returns:
            Changes of `train`, none of which affects the results, and the resulting cost.

        Raises:
            InputError: If nothing makes it fit.
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
        """Scores another program's label maps of one fold.

        Raises:
            InputError: If a file has changed since it was checked.
        """
        from spsam.engine.external import score_external

        score_external(spec, dataset, store, on_case)

    def execute(
        self, run: RunSpec, *, on_epoch: OnEpoch, on_progress: OnProgress, on_note: OnNote
    ) -> None:
        """Trains and scores one run; resumes from its checkpoint if it exists."""
        from spsam.engine.run import execute

        execute(run, on_epoch=on_epoch, on_progress=on_progress, on_note=on_note)


class GpuElsewhere(Backend):
    """The engine for plans for a GPU of another machine."""

    def device(self, name: str) -> str:
        """Returns a GPU, regardless of this machine's devices."""
        return "cuda"

    def check_devices(self, device: str, count: int, arm: ArmConfig) -> None:
        """Checks that a number of GPUs can share an arm's batch; they need not be present.

        Raises:
            InputError: If they cannot.
        """
        if count > 1:
            from spsam.engine.training.distributed import check_shares

            check_shares(count, arm.train.batch_size, arm.train.accumulate)
