"""A training step that is timed part by part."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from spsam.config.schema import TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.predict import autocast
from spsam.engine.training.loss import training_loss
from spsam.engine.training.step import make_optimizer
from spsam.model.networks.base import Output
from spsam.model.networks.self_prompt_sam import SelfPromptSAM

PARTS = (
    "input_adapter",
    "encoder",
    "generator",
    "prompts",
    "decoder",
    "head",
    "loss",
    "backward",
    "optimiser",
)
"""Parts of a step, in order; `decoder` comprises prompt encoder and mask decoder."""

FORWARD = PARTS[:6]
"""Parts of a forward pass."""

Seconds = dict[str, float]
Name = TypeVar("Name", bound=Hashable)


class Parts:
    """Timer for the parts of steps: CPU time on a CPU, wall time on a GPU.

    CPU time excludes the time in which other processes ran.

    Args:
        device: Device of the step.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: Seconds = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time of the enclosed code to a part."""
        began = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - began

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            return time.perf_counter()
        return time.process_time()


class TimedStep:
    """A training step whose parts are timed.

    Args:
        network: The network, on its device.
        train: Losses, optimiser and precision.
        batch: The patches.
    """

    def __init__(self, network: SelfPromptSAM, train: TrainConfig, batch: Patch) -> None:
        self.network, self.train = network, train
        self.device = next(network.parameters()).device
        self.image = batch["image"].to(self.device)
        self.labels = batch["label"].to(self.device)
        self.parameters = [parameter for _, parameter in network.trained_parameters()]
        self.optimizer = make_optimizer(network, train)

    def __call__(self) -> Seconds:
        """Executes one step: forward, loss, backward, optimiser. Returns seconds by part."""
        parts = Parts(self.device)
        output = self._forward(parts)
        with parts.part("loss"):
            terms = training_loss(
                output, self.labels, self.train, self.network.mask_head.activation
            )
        with parts.part("backward"):
            self.optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()  # type: ignore[no-untyped-call]
        with parts.part("optimiser"):
            torch.nn.utils.clip_grad_norm_(self.parameters, self.train.clip_norm or torch.inf)
            self.optimizer.step()
        return parts.seconds

    @torch.no_grad()
    def infer(self) -> Seconds:
        """Executes one forward pass without gradients. Returns seconds by part."""
        parts = Parts(self.device)
        self._forward(parts)
        return parts.seconds

    def _forward(self, parts: Parts) -> Output:
        network = self.network
        with autocast(self.device, self.train):
            with parts.part("input_adapter"):
                slices = network.input_adapter(self.image)
            with parts.part("encoder"):
                maps = network.encode_slices(slices)
            with parts.part("generator"):
                auxiliary = network.generate(maps)
            with parts.part("prompts"):
                prompts = network.prompts_of(auxiliary)
            with parts.part("decoder"):
                masks = network.decode(maps[-1], prompts)
            with parts.part("head"):
                logits = network.mask_head(masks)
        return Output(logits, auxiliary, prompts)


def in_turns(ways: Mapping[Name, Callable[[], Any]], repeats: int) -> dict[Name, list[Any]]:
    """Calls functions in turn, after one warm-up round.

    Args:
        ways: Functions by name.
        repeats: Number of calls of each function after the warm-up.

    Returns:
        Results of the calls by name.
    """
    results: dict[Name, list[Any]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            result = way()
            if turn:
                results[name].append(result)
    return results
