"""The one description of a run: planning makes it, executors carry it, the engine takes it."""

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
    """Parameters of a network.

    Attributes:
        blocks: Trained parameters of each added block, by slot.
        trained: Their sum.
        total: SAM's frozen parameters included.
    """

    blocks: dict[str, int]
    trained: int
    total: int


@dataclass(frozen=True)
class Member:
    """One process of several that a cluster has started for a run.

    Attributes:
        rank: Its number; process 0 scores and writes.
        count: How many there are, on all nodes.
        local: Its number on its node, and its GPU.
        host: The node of process 0, where they meet.
        port: The port there.
    """

    rank: int
    count: int
    local: int
    host: str
    port: int


@dataclass(frozen=True)
class RunSpec:
    """One arm with one seed on one fold, and how it is computed. Survives pickling.

    Attributes:
        config: Everything that the results depend on; its hash is the run's identity.
        folder: Where the run's files are, or will be.
        dataset: The data.
        split: Which cases train and which are scored.
        plan: Patch size and spacing, of the cases that train.
        checkpoint: SAM's weights; None for random ones.
        size: Parameters of the network; None where nobody counted them.
        store: The prepared data; None until they are prepared.
        device: `cpu`, `cuda` or `cuda:1`.
        workers: Processes that make training patches.
        devices: How many devices of that kind train together.
        member: Which of several processes this is, where a cluster has started them.
        initial: Trained blocks of an earlier run that it begins with; None: none.
        tuned: Where a study chose some of its values by validation cases: budget and values. No
            part of the run's identity.
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
        """The run's identity."""
        return self.folder.run_id

    @property
    def prepared(self) -> PreparedStore:
        """The prepared data of a run that is about to be computed."""
        assert self.store is not None, "data are prepared before a run is given to the engine"
        return self.store

    @cached_property
    def weights(self) -> Origin | None:
        """Where its SAM's weights come from; None for a network without SAM."""
        return origin_of(self.config, self.checkpoint)

    def describe(self) -> Mapping[str, Any]:
        """What `run.json` has of the run before it begins, as plain values."""
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
