"""Self-Prompt SAM: medical volume segmentation with automatic prompts, block by block.

The public API. Names are imported when they are first used, so that `import spsam` stays light:

    arm = spsam.load_arm("my_arm.yaml", overrides={"train.epochs": 5})
    network = spsam.build_network(arm, in_channels=1, num_classes=4, depth=4, image_size=(128, 128))
    output = network(volume)  # volume (B, M, D, H, W)
    prompts = spsam.extract_prompts(labels, num_classes=4)  # labels (N, H, W)
    scores = spsam.dice(prediction, reference, num_classes=4)  # (K,)
    run = spsam.load_run("S9")  # by study and arm, `latest`, id, folder or model.zip
    labels = run.predict("scan.nii.gz").labels  # (D, H, W) on the scan's own grid
    study = spsam.ablate("S1..S9", data="path/to/ACDC")  # study.table, study.scores: DataFrames
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spsam.api.ablation import ablate as ablate
    from spsam.api.prompts import prompts as prompts
    from spsam.api.report import report as report
    from spsam.api.run import Run as Run
    from spsam.api.run import load_run as load_run
    from spsam.api.segmentation import Segmentation as Segmentation
    from spsam.api.view import view as view
    from spsam.config.schema import ArmConfig as ArmConfig
    from spsam.engine.assemble import build_network as build_network
    from spsam.errors import InputError as InputError
    from spsam.metrics.dice import dice as dice
    from spsam.model.networks.self_prompt_sam import SelfPromptSAM as SelfPromptSAM
    from spsam.model.prompts.extract import extract_prompts as extract_prompts
    from spsam.model.prompts.types import Prompts as Prompts
    from spsam.registry.arms import load_arm as load_arm

__version__ = "0.1.0"

# Name -> the module that holds it. PEP 562: `__getattr__` below imports it on first use.
_HOMES = {
    "ArmConfig": "spsam.config.schema",
    "InputError": "spsam.errors",
    "Prompts": "spsam.model.prompts.types",
    "Run": "spsam.api.run",
    "Segmentation": "spsam.api.segmentation",
    "SelfPromptSAM": "spsam.model.networks.self_prompt_sam",
    "ablate": "spsam.api.ablation",
    "build_network": "spsam.engine.assemble",
    "dice": "spsam.metrics.dice",
    "extract_prompts": "spsam.model.prompts.extract",
    "load_arm": "spsam.registry.arms",
    "load_run": "spsam.api.run",
    "prompts": "spsam.api.prompts",
    "report": "spsam.api.report",
    "view": "spsam.api.view",
}

__all__ = [
    "ArmConfig",
    "InputError",
    "Prompts",
    "Run",
    "Segmentation",
    "SelfPromptSAM",
    "__version__",
    "ablate",
    "build_network",
    "dice",
    "extract_prompts",
    "load_arm",
    "load_run",
    "prompts",
    "report",
    "view",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module, once.

    Raises:
        AttributeError: The package has no such public name.
    """
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'spsam' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
