"""The model card of an exported model: use, classes, training data, scores and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spsam import __version__
from spsam.checksums import sha256
from spsam.text.colours import class_colour
from spsam.text.escape import one_line

if TYPE_CHECKING:
    from spsam.engine.recipe import Recipe
    from spsam.studies.planned_export import Export

_METRICS = {"dice": ("Dice, %", 100.0), "hd95": ("HD95, mm", 1.0)}
_SHORT = 1000
"""Trainings with fewer steps are described as technical tests."""


def model_card(export: Export) -> str:
    """Returns the card as Markdown."""
    first = export.recipes[0].config
    runs = len(export.recipes)
    what = "one trained run" if runs == 1 else f"the mean of {runs} trained runs"
    parts = [
        f"# {_text(first.arm.title)}: {_text(first.data.name)}",
        f"{what[0].upper()}{what[1:]} for prompt-free segmentation of 3D images, made with spsam "
        f"{__version__} (Self-Prompt SAM).",
        "## Use",
        _use(export),
        "## Classes",
        _classes(export),
        "## Trained on",
        _trained_on(export),
        "## Scores",
        _scores(export),
        "## Limits",
        _limits(export),
        "## SAM's weights",
        _weights(export),
        *_own(export),
        "## Licence",
        "\n".join(f"- {line}" for line in licence_text(export).splitlines()),
    ]
    return "\n\n".join(parts) + "\n"


def licence_text(export: Export) -> str:
    """Returns the text on licences."""
    return (
        f"The trained blocks in this file: {one_line(export.licence).rstrip('.')}.\n"
        "spsam: Apache-2.0. SAM's weights, which are not in this file: Apache-2.0 if they are "
        "Meta's own.\n"
        "The licence of the training data may also restrict the use of the blocks.\n"
    )


def _use(export: Export) -> str:
    # A generic name: the file can be renamed at any time.
    name = "model.zip"
    plugin = " --plugin FOLDER" if export.own else ""
    allowed = ', plugins=["FOLDER"]' if export.own else ""
    return (
        f"```sh\npip install spsam\nspsam predict {name} scans/ --save segmented/{plugin}\n```\n\n"
        f'```python\nrun = spsam.load_run("{name}"{allowed})\n'
        'labels = run.predict("scan.nii.gz").labels\n```'
    )


def _classes(export: Export) -> str:
    first = export.recipes[0]
    names = first.config.data.class_names
    rows = [
        [str(raw_id), _text(name), f"`{class_colour(number)}`" if number else ""]
        for number, (raw_id, name) in enumerate(zip(first.raw_ids, names, strict=True))
    ]
    regions = [
        [_text(region.name), " + ".join(str(first.raw_ids[k]) for k in region.classes)]
        for region in first.config.data.regions
    ]
    more = "\n\n" + _table(("region, as scored", "ids"), regions) if regions else ""
    return _table(("id in label maps", "class", "colour"), rows) + more


def _trained_on(export: Export) -> str:
    rows = []
    for recipe in export.recipes:
        config, plan = recipe.config, recipe.plan
        spacing = " × ".join(f"{step:.3g}" for step in plan.spacing)
        rows.append(
            [
                f"{_text(config.arm.name)} seed {config.seed} fold {config.data.fold}",
                f"{_text(config.data.name)} ({config.data.fingerprint})",
                _text(config.data.split_name),
                f"{plan.modality}, {config.data.in_channels}",
                spacing,
                " × ".join(map(str, plan.patch_size)),
                f"{recipe.steps:,} of {recipe.total:,}{_checkpoint(recipe)}",
            ]
        )
    heads = (
        *("run", "data set (fingerprint)", "split", "modality, channels"),
        *("spacing, mm", "patch", "steps"),
    )
    return _table(heads, rows) + "\n\nSpacing and patch are along (depth, height, width)."


def _checkpoint(recipe: Recipe) -> str:
    """Describes which of the training's weights are used, unless they are the last."""
    if recipe.best_epoch is None:
        return ""
    count = recipe.config.arm.train.validations
    return f"; checkpoint: best of {count} validations, after epoch {recipe.best_epoch + 1}"


def _scores(export: Export) -> str:
    if not export.summary:
        return "None were recorded."
    lines = {(x["class_name"], x["metric"]): x for x in export.summary}
    classes = list(dict.fromkeys(str(line["class_name"]) for line in export.summary))
    metrics = [name for name in _METRICS if any(key[1] == name for key in lines)]
    rows = [
        [_text(name), *(_score(lines.get((name, metric)), metric) for metric in metrics)]
        for name in classes
    ]
    heads = ("class", *(f"{_METRICS[metric][0]}" for metric in metrics))
    rules = sorted({str(line["convention"]) for line in export.summary})
    several = len({recipe.config.data.fold for recipe in export.recipes}) > 1
    each = "Each run separately" if len(export.recipes) > 1 else "The run"
    cases = "the test cases of its own fold" if several else "its test cases"
    mean = "; the mean of several runs was not scored" if len(export.recipes) > 1 else ""
    return (
        _table(heads, rows) + f"\n\n{each} on {cases}{mean}. Mean ± standard deviation over n "
        f"values; empty classes follow the conventions {', '.join(rules)}."
    )


def _score(line: dict[str, Any] | None, metric: str) -> str:
    if line is None:
        return ""
    scale = _METRICS[metric][1]
    spread = "" if line["std"] is None else f" ± {scale * line['std']:.2f}"
    return f"{scale * line['mean']:.2f}{spread} (n = {line['n']})"


def _limits(export: Export) -> str:
    first = export.recipes[0]
    total = max(recipe.total for recipe in export.recipes)
    told = [
        f"Trained on {first.plan.modality} images with {first.config.data.in_channels} channel(s) "
        "from the data set above; results on images of other scanners, protocols, patients or "
        "fields of view are unknown.",
        "Not a medical device: for research only.",
    ]
    if total < _SHORT:
        told.insert(
            0,
            f"Trained for {total:,} steps only, as a technical test: the results are meaningless.",
        )
    unfinished = [recipe for recipe in export.recipes if recipe.steps < recipe.total]
    if unfinished:
        told.insert(0, f"The training of {len(unfinished)} of the runs was not finished.")
    return "\n".join(f"- {text}" for text in told)


def _weights(export: Export) -> str:
    told = []
    for origin in dict.fromkeys(origin for origin in export.origins if origin is not None):
        if origin.kind == "random":
            told.append(f"{origin.backbone}: random weights, which spsam generates again.")
        elif origin.kind == "shipped":
            told.append(f"{origin.backbone}: shipped with spsam (SHA-256 `{origin.sha256}`).")
        elif origin.kind == "official":
            told.append(
                f"{origin.backbone}: the official file (SHA-256 `{origin.sha256}`), given with "
                "`--checkpoint FILE`; its hash is checked."
            )
        else:
            told.append(
                f"{origin.backbone}: a file that is neither official nor shipped (SHA-256 "
                f"`{origin.sha256}`). It is not included: obtain it from the author, and give it "
                "with `--checkpoint FILE`; its hash is checked."
            )
    return "\n".join(f"- {text}" for text in told) or "None: the network does not use SAM."


def _own(export: Export) -> list[str]:
    if not export.own:
        return []
    cards = [f"- {card.slot} `{card.name}` (`{card.target}`)" for card in export.own]
    files = [
        [f"`plugins/{_text(name)}`", f"`{sha256(content)}`"]
        for name, content in export.plugins.items()
    ]
    text = (
        "The network uses components that are not part of spsam:\n\n"
        + "\n".join(cards)
        + "\n\nspsam never imports code from this file. Read the files below `plugins/`, unpack "
        "them into a folder, and allow that folder with `--plugin FOLDER` if you trust them."
    )
    if not files:
        text += " Their source is not included: they belong to an installed package or to the "
        text += "author's own `registry/`."
    return [
        "## Custom components",
        text,
        *([_table(("file", "sha-256"), files)] * bool(files)),
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Escapes a name, so that it neither ends a table's cell nor acts as markup."""
    shown = one_line(text)
    for sign in "\\`*_[]<>|#":
        shown = shown.replace(sign, f"\\{sign}")
    return shown
