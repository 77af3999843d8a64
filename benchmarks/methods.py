"""A training step of Self-Prompt SAM beside SAMed's and nnU-Net's, side by side.

    pip install -e .[bench]
    OMP_NUM_THREADS=1 python benchmarks/methods.py
    OMP_NUM_THREADS=1 python benchmarks/methods.py --size 512 --classes 16 --precision bf16 --json

All networks take the same patches, losses and optimiser, with random weights, and take turns in one
process; medians are of the processor's time on a CPU, of the clock on a GPU.

- `ours`: the arm, `--set` as in `spsam ablate`.
- `samed`: SAMed's published construction (arXiv 2304.13785) from `segment-anything` modules: LoRA
  of rank 4 on q and v of every block, the prompt encoder's default embedding and the mask decoder
  trained, one output mask a class.
- `nnunet`: nnU-Net's plain network for the patch, from `dynamic-network-architectures`, trained on
  its finest output alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

from spsam.config.overrides import parse_overrides
from spsam.config.schema import TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import build_network
from spsam.engine.bench.bench import peak
from spsam.engine.bench.official import package_encoder
from spsam.engine.bench.parts import Parts, in_turns
from spsam.engine.device import pick_device
from spsam.engine.predict import autocast
from spsam.engine.training.batches import random_batch
from spsam.engine.training.loss import training_loss
from spsam.engine.training.train import execute_as
from spsam.model.mask_heads.base import MaskHead
from spsam.model.mask_heads.softmax import SoftmaxHead
from spsam.model.networks.base import Output
from spsam.model.sam.backbones import Backbone, backbone_spec
from spsam.registry.arms import load_arm

RANK = 4
FEATURES = (32, 64, 128, 256, 320, 320, 320)


class LoraQKV(nn.Module):
    """SAMed's: low-rank additions to q and v of a frozen projection.

    Args:
        qkv: The frozen projection.
    """

    def __init__(self, qkv: nn.Linear) -> None:
        super().__init__()
        self.qkv, dim = qkv, qkv.in_features
        self.down = nn.ModuleList(nn.Linear(dim, RANK, bias=False) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(RANK, dim, bias=False) for _ in range(2))
        for up in self.up:
            nn.init.zeros_(up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(n, h, w, E)` to `(n, h, w, 3E)`."""
        qkv = self.qkv(x)
        dim = x.shape[-1]
        qkv[..., :dim] += self.up[0](self.down[0](x))
        qkv[..., -dim:] += self.up[1](self.down[1](x))
        return qkv


class Samed(nn.Module):
    """Slices one by one, no prompts, K masks a slice."""

    mask_head: MaskHead

    def __init__(self, spec: Backbone, size: int, classes: int) -> None:
        super().__init__()
        self.mask_head = SoftmaxHead(classes)
        self.size, grid = (size, size), size // spec.patch
        self.image_encoder = package_encoder(spec, size).requires_grad_(False)
        for block in self.image_encoder.blocks:
            block.attn.qkv = LoraQKV(block.attn.qkv)
        self.prompt_encoder = PromptEncoder(spec.out_dim, (grid, grid), self.size, 16)
        transformer = TwoWayTransformer(2, spec.out_dim, spec.decoder_heads, spec.decoder_mlp_dim)
        # Of its masks the first is SAM's single one; SAMed takes the K others.
        self.mask_decoder = MaskDecoder(
            transformer_dim=spec.out_dim, transformer=transformer, num_multimask_outputs=classes
        )

    def forward(self, volume: Tensor) -> Output:
        """`(B, 1, D, H, W)` to logits `(B, K, D, H, W)`."""
        batch, _, depth = volume.shape[:3]
        slices = volume.transpose(1, 2).flatten(0, 1).expand(-1, 3, -1, -1)
        embedding = self.image_encoder(slices)
        sparse, dense = self.prompt_encoder(None, None, None)
        masks = []
        for one in embedding:
            low, _ = self.mask_decoder(
                image_embeddings=one[None],
                image_pe=self.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
            masks.append(low)
        large = functional.interpolate(
            torch.cat(masks).float(), self.size, mode="bilinear", align_corners=False
        )
        logits = large.reshape(batch, depth, *large.shape[1:]).transpose(1, 2)
        return Output(logits, [], None)


class NnUNet(nn.Module):
    """As nnU-Net plans it for a patch of few slices: the plane is halved down to about 4 × 4."""

    mask_head: MaskHead

    def __init__(self, patch: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.mask_head = SoftmaxHead(classes)
        stages = min(len(FEATURES), min(patch[1:]).bit_length() - 2)
        self.unet = PlainConvUNet(
            input_channels=1,
            n_stages=stages,
            features_per_stage=FEATURES[:stages],
            conv_op=nn.Conv3d,
            kernel_sizes=[(1, 3, 3) if stage < 2 else (3, 3, 3) for stage in range(stages)],
            strides=[(1, 1, 1), *[(1, 2, 2)] * (stages - 1)],
            n_conv_per_stage=2,
            num_classes=classes,
            n_conv_per_stage_decoder=2,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
        )

    def forward(self, volume: Tensor) -> Output:
        """`(B, 1, D, H, W)` to logits `(B, K, D, H, W)`."""
        return Output(self.unet(volume), [], None)


class Step:
    """A whole step of any of the networks, and a forward pass without gradients."""

    def __init__(self, network: Any, train: TrainConfig, batch: Patch, device: str) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).train()
        self.train = train
        self.image, self.labels = (batch[key].to(self.device) for key in ("image", "label"))
        parameters = [each for each in network.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, fused=self.device.type == "cuda")

    def __call__(self) -> float:
        """Seconds of a step."""
        parts = Parts(self.device)
        with parts.part("step"):
            terms = training_loss(
                self._forward(), self.labels, self.train, self.network.mask_head.activation
            )
            self.optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()
            self.optimizer.step()
        return parts.seconds["step"]

    @torch.no_grad()
    def infer(self) -> float:
        """Seconds of a forward pass."""
        parts = Parts(self.device)
        with parts.part("forward"):
            self._forward()
        return parts.seconds["forward"]

    def _forward(self) -> Output:
        with autocast(self.device, self.train):
            output: Output = self.network(self.image)
        return output


def main() -> None:
    """Prints a table, or JSON."""
    options = _options()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    changes = {
        "backbone.name": options.backbone,
        "backbone.weights": "random",
        "train.precision": options.precision,
        **parse_overrides(options.set),
    }
    arm = load_arm(options.arm, changes, preset=options.preset)
    patch, device = (options.depth, options.size, options.size), pick_device(options.device)
    ours = build_network(
        arm, in_channels=1, num_classes=options.classes, depth=patch[0], image_size=patch[1:]
    )
    execute_as(arm.train, ours)
    networks: dict[str, Any] = {
        "ours": ours,
        "samed": Samed(backbone_spec(options.backbone), options.size, options.classes),
        "nnunet": NnUNet(patch, options.classes),
    }
    batch = random_batch(options.batch, 1, patch, options.classes)
    steps = {name: Step(each, arm.train, batch, device) for name, each in networks.items()}
    result = _measured(steps, options.repeats)
    if options.json:
        print(json.dumps(vars(options) | {"device": device, "networks": result}, indent=2))
        return
    print(f"{'':8}{'step, s':>12}{'inference, s':>14}{'peak, MB':>10}{'trained':>14}")
    for name, row in result.items():
        print(
            f"{name:8}{row['step']:12.3f}{row['inference']:14.3f}"
            f"{row['peak_memory_bytes'] / 1e6:10.0f}{row['trained']:14,}"
        )


def _measured(steps: dict[str, Step], repeats: int) -> dict[str, dict[str, Any]]:
    peaks = {name: peak(step, step.optimizer, step.device) for name, step in steps.items()}
    trained = in_turns(_ways(steps, lambda step: step), repeats)
    inferred = in_turns(_ways(steps, lambda step: step.infer), repeats)
    return {
        name: {
            "step": statistics.median(trained[name]),
            "inference": statistics.median(inferred[name]),
            "peak_memory_bytes": peaks[name],
            "trained": sum(p.numel() for p in step.network.parameters() if p.requires_grad),
        }
        for name, step in steps.items()
    }


def _ways(
    steps: dict[str, Step], way: Callable[[Step], Callable[[], float]]
) -> dict[str, Callable[[], float]]:
    return {name: way(step) for name, step in steps.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arm", default="S9")
    parser.add_argument("--preset")
    parser.add_argument("--backbone", default="sam_vit_b")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
