"""Description of a run: planning creates it, executors transfer it, the engine executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.engine.weights import origin_of

if TYPE_CHECKING:
    from spsam.config.schema import RunConfig
    from spsam.data.cases import DataSet
    from spsam.data.plan import Plan
    from spsam.data.preparation.store import PreparedStore
    from spsam.data.split import Split
    from spsam.engine.initial import InitialBlocks
    from spsam.model.sam.origin import Origin
    from spsam.results.run_folder import RunFolder


@dataclass(frozen=True)
class NetworkSize:
    """Numbers of a network's parameters.

    Attributes:
        blocks: Trained parameters of each added block, by slot.
        trained: Sum of the trained parameters.
        total: All parameters, including SAM's frozen ones.
    """

    blocks: dict[str, int]
    trained: int
    total: int


@dataclass(frozen=True)
class Member:
    """One of several processes that a cluster has started for a run.

    Attributes:
        rank: Index of the process; process 0 scores and writes.
        count: Number of processes on all nodes.
        local: Index of the process on its node, and of its GPU.
        host: Node of process 0, to which the others connect.
        port: Port on that node.
    """

    rank: int
    count: int
    local: int
    host: str
    port: int


@dataclass(frozen=True)
class RunSpec:
    """One arm with one seed on one fold, and how it is computed. Can be pickled.

    Attributes:
        config: Everything that the results depend on; its hash is the run id.
        folder: The run's folder.
        dataset: The data set.
        split: Cases for training, validation and test.
        plan: Patch size and spacing, computed from the training cases.
        checkpoint: File with SAM's weights; None for random ones.
        size: Numbers of parameters; None if not counted.
        store: The prepared data; None until they are prepared.
        device: `cpu`, `cuda` or `cuda:1`.
        workers: Number of processes that generate training patches.
        devices: Number of devices of that kind that train together.
        member: Index of this process if a cluster has started several.
        initial: Trained blocks of an earlier run that initialise this one; None: none.
        tuned: Budget and values if a study selected some values on validation cases. Not a part of
            the run id.
    """

    config: RunConfig
    folder: RunFolder
    dataset: DataSet
    split: Split
    plan: Plan
    checkpoint: Path | None = None
    size: NetworkSize | None = None
    store: PreparedStore | None = None
    device: str = "cpu"
    workers: int = 0
    devices: int = 1
    member: Member | None = None
    initial: InitialBlocks | None = None
    tuned: Mapping[str, Any] | None = None

    @property
    def run_id(self) -> str:
        """The run id."""
        return self.folder.run_id

    @property
    def prepared(self) -> PreparedStore:
        """The prepared data of a run that is about to be executed."""
        assert self.store is not None, "data are prepared before a run is given to the engine"
        return self.store

    @cached_property
    def weights(self) -> Origin | None:
        """Origin of SAM's weights; None for a network without SAM."""
        return origin_of(self.config, self.checkpoint)

    def describe(self) -> Mapping[str, Any]:
        """Returns the initial content of `run.json` as plain values."""
        size = self.size
        counts = (
            {}
            if size is None
            else {
                "trained_parameters": size.trained,
                "total_parameters": size.total,
                "parameters": size.blocks,
            }
        )
        return {
            "arm": self.config.arm.name,
            "seed": self.config.seed,
            **counts,
            "plan": self.plan.to_dict(),
            "weights": None if self.weights is None else self.weights.to_dict(),
            **({} if self.initial is None else {"initial": self.initial.describe()}),
            **({} if self.tuned is None else {"tuned": dict(self.tuned)}),
        }
