"""A device `faked` on which fake tensors also go backward; torch asks a real one for a context.

torch knows the device for the whole process, which is why whoever wants it starts one:
`python -m tests.gpu.backend ARM …` takes steps of training there and writes what became of each as
a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

from spsam.config.overrides import parse_overrides
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.step import Stepper
from spsam.engine.training.train import execute_as
from spsam.registry.arms import load_arm
from tests.gpu.fake_gpu import onto_gpu
from tests.gpu.networks import sample, whole_network

NAME = "faked"

# Of autocast's lists for CUDA what this project's networks call.
_LOWER = (
    "linear",
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "conv2d",
    "conv3d",
    "conv_transpose2d.input",
    "conv_transpose3d.input",
    "scaled_dot_product_attention",
)
_FLOAT32 = (
    "layer_norm",
    "group_norm",
    "instance_norm",
    "softmax.int",
    "log_softmax.int",
    "softplus",
    "pow.Tensor_Scalar",
    "exp",
    "log",
    "logsumexp",
    "sum",
    "sum.dim_IntList",
    "norm.ScalarOpt_dim",
    "nll_loss_nd",
)


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def register() -> None:
    """Makes the device known, and casts under autocast as CUDA does."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    # torch has no shapes for it: it gives none.
    _library.impl("_fused_sgd_", lambda *arguments, **options: None, "Meta")
    # What is in neither list takes types as they come.
    _rest.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for names, lower in ((_LOWER, True), (_FLOAT32, False)):
        for name in names:
            base, _, overload = name.partition(".")
            operation = getattr(getattr(torch.ops.aten, base), overload or "default")
            _library.impl(name, _cast(operation, lower), "AutocastPrivateUse1")


_library = torch.library.Library("aten", "IMPL")
_rest = torch.library.Library("_", "IMPL")


def _cast(operation: Any, lower: bool) -> Callable[..., Any]:
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def cast(*arguments: Any, **options: Any) -> Any:
        kind = torch.get_autocast_dtype(NAME) if lower else torch.float32

        def fit(value: Any) -> Any:
            floating = isinstance(value, Tensor) and value.is_floating_point()
            return value.to(kind) if floating and value.dtype != torch.float64 else value

        with torch._C._ExcludeDispatchKeyGuard(key):
            return operation(*tree_map(fit, arguments), **tree_map(fit, options))

    return cast


def main() -> None:
    """Steps of both phases of arms in all precisions, on fake tensors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arms", nargs="+")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "fp16"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--not-fused", action="store_true", help="SGD as on a CPU: waits in fp16.")
    options = parser.parse_args()
    register()
    for name in options.arms:
        for precision in options.precisions:
            values = {**parse_overrides(options.set), "train.precision": precision}
            print(json.dumps(steps(name, values, fused=not options.not_fused)), flush=True)


def steps(name: str, values: dict[str, Any], *, fused: bool) -> dict[str, Any]:
    """What became of a step of the first phase and two of the second."""
    train = load_arm(name, {"train.accumulate": 2, **values}).train
    network = whole_network(name).train()
    execute_as(train, network)
    told: dict[str, Any] = {"arm": name, "precision": train.precision, "error": None}
    try:
        with FakeTensorMode(allow_non_fake_inputs=False):
            stepper = Stepper(onto_gpu(network, NAME), train, ProcessGroup())
            if not fused:
                groups = stepper.optimizer.param_groups
                stepper.optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, fused=False)
            for decode in (False, True, True):
                terms = stepper(sample(NAME), 1e-3, decode=decode)
            told["devices"] = sorted({str(term.device) for term in terms.values()})
            told["gradients"] = sum(each.grad is not None for each in stepper.parameters)
    # Whatever it is, the test shows it.
    except Exception:
        told["error"] = traceback.format_exc()[-3000:]
    return told


if __name__ == "__main__":
    main()
