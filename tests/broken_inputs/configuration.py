"""Arms, presets, sweeps, studies and tables in YAML, and options of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.broken_inputs.kinds import Command, Kind, Place, ablate, train
from tests.reporting.store import make_study

Make = Callable[[Place], Sequence[Command]]


def arm(text: str) -> Make:
    """An arm of the user's own, planned by both commands that train."""

    def make(place: Place) -> Sequence[Command]:
        place.write("mine.yaml", text)
        return [ablate(place, "mine.yaml"), train(place, arm="mine.yaml")]

    return make


def arms(**texts: str) -> Make:
    """Several arms; the first is run."""

    def make(place: Place) -> Sequence[Command]:
        for name, text in texts.items():
            place.write(f"{name}.yaml", text)
        return [ablate(place, f"{next(iter(texts))}.yaml")]

    return make


def raw(content: bytes) -> Make:
    def make(place: Place) -> Sequence[Command]:
        (place.folder / "mine.yaml").write_bytes(content)
        return [ablate(place, "mine.yaml")]

    return make


def options(*words: object) -> Make:
    return lambda place: [ablate(place, *words)]


def one_run(*words: object, arm: str = "S1") -> Make:
    return lambda place: [train(place, *words, arm=arm)]


def sweep(space: str, more: str = "", *words: object) -> Make:
    def make(place: Place) -> Sequence[Command]:
        text = f"title: Mine\narm: S6\npreset: smoke\n{more}space:\n  {space}\n"
        place.write("space.yaml", text)
        return [["sweep", "space.yaml", "--out", place.out, *words]]

    return make


def prompts(*words: object, study: str | None = None) -> Make:
    def make(place: Place) -> Sequence[Command]:
        file = [] if study is None else [place.write("study.yaml", study)]
        return [["prompts", *file, *words, "--out", place.out]]

    return make


def report(*words: object, table: str | None = None) -> Make:
    """Of a study that is there."""

    def make(place: Place) -> Sequence[Command]:
        make_study(place.folder / "results")
        more: Command = []
        if table is not None:
            more = ["--table", place.write("table.yaml", table)]
        return [["report", "--out", place.folder / "results", "--save", place.out, *words, *more]]

    return make


def own_table_of_a_known_name(place: Place) -> Sequence[Command]:
    make_study(place.folder / "results")
    file = place.write("ablation.yaml", "title: x\n")
    return [["report", "--out", "results", "--save", place.out, "--table", file]]


def plugin(**files: str) -> Make:
    """A folder with a component of the user's own."""

    def make(place: Place) -> Sequence[Command]:
        for name, text in files.items():
            place.write(f"mine/{name.replace('__', '/')}.yaml", text)
        words = ["S6", "--set", "blocks.adapter=mine", "--plugin", place.folder / "mine"]
        return [ablate(place, *words)]

    return make


KINDS = (
    Kind(
        "a misspelt key",
        arm("base: S1\ntrian: {epochs: 3}\n"),
        r"mine\.yaml:2: trian: unknown key; did you mean 'train'\?",
    ),
    Kind(
        "a key that stands twice",
        arm("base: S1\ntrain: {}\ntrain: {}\n"),
        r"mine\.yaml:3: key 'train' is repeated \(first in line 2\)",
    ),
    Kind(
        "an unknown component",
        arm("base: S3\nblocks: {adapter: dfusde}\n"),
        r"mine\.yaml:2: .*dfusde.*did you mean 'dfused'",
    ),
    Kind(
        "an unknown parameter",
        arm("base: S6\nblocks: {adapter: {ratoi: 0.5}}\n"),
        r"mine\.yaml:2: .*ratoi.*did you mean 'ratio'",
    ),
    Kind(
        "text for a number",
        arm("base: S1\ntrain: {epochs: many}\n"),
        r"mine\.yaml:2: train\.epochs: expected a whole number, got the text 'many'",
    ),
    Kind(
        "a number below its range",
        arm("base: S1\ntrain:\n  optimizer: {lr: -0.1}\n"),
        r"mine\.yaml:3: train\.optimizer\.lr: expected a number greater than 0, got -0\.1",
    ),
    Kind(
        "a phase longer than the training",
        arm("base: S1\ntrain: {epochs: 2, generator_epochs: 5}\n"),
        r"mine\.yaml:2: train\.generator_epochs: expected at most train\.epochs \(2\), got 5",
    ),
    Kind(
        "a batch that cannot be divided",
        arm("base: S1\ntrain: {batch_size: 2, accumulate: 3}\n"),
        r"mine\.yaml:2: train\.accumulate: ",
    ),
    Kind("tabs", arm("base: S1\ntrain:\n\tepochs: 3\n"), r"mine\.yaml:3: is not valid YAML"),
    Kind(
        "a bracket that is not closed",
        arm("base: S1\ntrain: {epochs: 3\n"),
        r"mine\.yaml:\d: is not valid YAML",
    ),
    Kind(
        "a list for a mapping",
        arm("- base: S1\n"),
        r"mine\.yaml:1: expected a mapping \(key: value\), got a list",
    ),
    Kind("an empty file", arm(""), r"mine\.yaml:1: expected a mapping .*, got nothing"),
    Kind(
        "an anchor",
        arm("base: S1\ntrain: &t {epochs: 3}\n"),
        r"mine\.yaml:2: anchors \(&t\) are not supported; repeat the value",
    ),
    Kind(
        "a tag that would run code",
        arm("base: S1\ntitle: !!python/name:os.system\n"),
        r"mine\.yaml:2: tags \(.*python/name:os\.system\) are not supported",
    ),
    Kind(
        "a file that is no text",
        raw(b"base: S1\ntitle: \xff\xfe\n"),
        r"mine\.yaml: is not UTF-8 text",
    ),
    Kind(
        "bases in a circle",
        arms(one="base: two.yaml\n", two="base: one.yaml\n"),
        r"two\.yaml:1: base: bases form a cycle: one -> two -> one",
    ),
    Kind(
        "a base that is not there",
        arm("base: S0.yaml\n"),
        r"mine\.yaml:1: base: file .*S0\.yaml does not exist",
    ),
    Kind("two bases", arm("base: [S1, S2]\n"), r"mine\.yaml:1: base: expected an arm's name or"),
    Kind(
        "a name that the file gives itself",
        arm("base: S1\nname: mine\n"),
        r"mine\.yaml:2: name: unknown key; the name of an arm is the name of its file",
    ),
    Kind(
        "code that the file chooses",
        arm("base: S1\nplugins: [here]\n"),
        r"mine\.yaml:2: plugins: unknown key; .*a file must not select code to run",
    ),
    Kind("a misspelt arm", options("S1", "S77"), "unknown arm 'S77'; "),
    Kind(
        "a range that runs backwards",
        options("S9..S1"),
        r"'S9\.\.S1': expected the smaller number first",
    ),
    Kind("no arm at all", options(), "no arm given; known: .*S9"),
    Kind(
        "an arm's file that is not there",
        options("my/arm.yaml"),
        r"arm file my/arm\.yaml does not exist",
    ),
    Kind("several arms for one run", one_run(arm="S1..S3"), r"S1\.\.S3"),
    Kind(
        "a value without its key",
        options("S1", "--set", "train.epochs"),
        "--set train.epochs: expected key=value",
    ),
    Kind(
        "a misspelt key on the command line",
        one_run("--set", "train.epochz=3"),
        "--set train.epochz=3: .*did you mean 'train.epochs'|--set train.epochz=3: .*'epochs'",
    ),
    Kind(
        "a value that is no YAML",
        options("S1", "--set", "train.epochs=[1"),
        r"--set train\.epochs=\[1: the value is not valid YAML",
    ),
    Kind(
        "seeds that are no numbers",
        options("S1", "--seeds", "many"),
        r"--seeds many: expected a number \(3\) or a list \(0,1,2\)",
    ),
    Kind(
        "a misspelt preset",
        lambda place: [["ablate", "S1", "--preset", "smok", "--out", "out"]],
        "unknown preset 'smok'; did you mean 'smoke'",
    ),
    Kind(
        "a device that is not there",
        one_run("--device", "cuda:9"),
        "--device cuda:9: expected auto or one of cpu",
    ),
    Kind("an option that there is not", options("S1", "--epochs", "3"), "No such option.*--epochs"),
    Kind(
        "a component without its class",
        plugin(adapter__mine="title: Mine\ntarget: nothing.at:All\n"),
        "mine",
    ),
    Kind(
        "a sweep with its ends changed",
        sweep("train.optimizer.lr: {low: 0.1, high: 0.001}"),
        r"space\.yaml:5: space\.train\.optimizer\.lr: expected low below high, got 0\.1 and 0\.0",
    ),
    Kind(
        "a sweep of one choice",
        sweep("blocks.adapter: [dfused]"),
        r"space\.yaml:5: .*expected at least two choices; .*put constant values under 'set'",
    ),
    Kind(
        "a sweep of an unknown component",
        sweep("blocks.adapter: [dfused, vanila]"),
        r"space\.yaml:5: space\.blocks\.adapter: with 'vanila': .*did you mean 'vanilla'",
    ),
    Kind(
        "a sweep over what there is not",
        sweep("train.epoch: [1, 2]"),
        r"space\.yaml:5: space\.train\.epoch: .*",
    ),
    Kind(
        "an unknown sampler",
        sweep("blocks.adapter: [dfused, vanilla]", "sampler: tpf\n"),
        r"space\.yaml:4: .*tpf.*did you mean 'tpe'",
    ),
    Kind(
        "a misspelt sweep",
        lambda place: [["sweep", "adaptr", "--out", place.out]],
        "unknown sweep 'adaptr'; did you mean 'adapter'",
    ),
    Kind("a prompt that there is not", prompts("--prompts", "box,pont+box"), "--prompts.*pont"),
    Kind("a point that there is not", prompts("--point", "edtt"), "--point.*edtt.*'edt'"),
    Kind(
        "prompts of a run that is not named",
        prompts("--source", "auxiliary"),
        "--source.*auxiliary.*--run",
    ),
    Kind(
        "a study of fewer than one seed", prompts("--seeds", "0"), "--seeds 0: expected from one to"
    ),
    Kind(
        "a disturbance that does nothing",
        prompts(study="disturbances:\n  - {name: none at all}\n"),
        r"study\.yaml:2: .*expected at least one amount above 0",
    ),
    Kind(
        "a run that is not there",
        prompts("--run", "0123"),
        "--run 0123: there is no such trained run: expected a folder or checkpoint",
    ),
    Kind(
        "a column that there is not",
        report(table="title: Mine\ncolumns: [dcie]\n"),
        r"table\.yaml:2: unknown column 'dcie'; did you mean 'dice'\?",
    ),
    Kind(
        "a table called as one that there is",
        own_table_of_a_known_name,
        r"ablation\.yaml.*rename it",
    ),
    Kind(
        "a format that there is not",
        report("--format", "latx"),
        "--format latx: unknown; did you mean 'latex'?",
    ),
)
