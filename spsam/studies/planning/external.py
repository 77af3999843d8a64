"""Planning of externals: label maps of another program are found and checked before any run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spsam.config.identity import canonical_json
from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig, DataIdentity
from spsam.data.sources.label_maps import predicted_maps
from spsam.engine.external_spec import TITLE, ExternalSpec, content_hashes, read_prediction
from spsam.errors import InputError, Problem, SpsamError
from spsam.results.run_folder import RunFolder
from spsam.studies.planning.inputs import StudyInputs
from spsam.studies.planning.request import Request

SCORING = 1
"""Version of the scoring of label maps; part of the run id."""


@dataclass(frozen=True)
class PlannedExternal:
    """One source of predictions, which is a row of the study.

    Attributes:
        name: The external's name.
        folder: The folder of its label maps.
        parent: The arm that it is compared with.
        runs: One run for each fold.
        notes: Notes for the user.
    """

    name: str
    folder: Path
    parent: str
    runs: Sequence[ExternalSpec]
    notes: Sequence[str] = ()

    @property
    def sha256(self) -> dict[str, str]:
        """The hash of each test case's file."""
        return {case: digest for run in self.runs for case, digest in run.sha256.items()}

    def describe(self) -> dict[str, Any]:
        """Returns its entry in the study's record, in the format of an arm."""
        ids = [run.folder.run_id for run in self.runs]
        return {
            "name": self.name,
            "title": TITLE,
            "parent": self.parent,
            "base": None,
            "diff": [],
            "run_id": ids[0],
            "run_ids": ids,
            "trained_parameters": None,
            "total_parameters": None,
            "weights": None,
            "external": {"folder": str(self.folder), "sha256": self.sha256},
        }


@dataclass(frozen=True)
class Terms:
    """Settings for the scoring and comparison of externals.

    Attributes:
        home: The folder of all results.
        seed: The seed under which they are recorded: the study's first.
        convention: The score of an empty class.
        parent: The arm that they are compared with.
    """

    home: Path
    seed: int
    convention: str
    parent: str


def external_rows(
    request: Request, inputs: StudyInputs, arms: Sequence[ArmConfig]
) -> list[PlannedExternal]:
    """Plans a request's externals; they are compared with its reference or else the first arm.

    Args:
        request: The completed request.
        inputs: Data and splits of the study.
        arms: The study's arms, at least one.

    Raises:
        InputError: With every problem in the folders and names.
    """
    # If there are several recipes, the first: an external belongs to none of them.
    named = (arm for arm in arms if request.reference in (arm.name, arm.name.partition(":")[0]))
    other = next(named, arms[0])
    terms = Terms(request.home, request.seeds[0], other.evaluation.convention, other.name)
    return plan_externals(request.externals, inputs, terms, [arm.name for arm in arms])


def plan_externals(
    named: Mapping[str, Path], inputs: StudyInputs, terms: Terms, arms: Sequence[str]
) -> list[PlannedExternal]:
    """Finds the label map of every test case in every folder, and reads those not yet scored.

    Args:
        named: Name -> folder.
        inputs: Data and splits of the study.
        terms: How they are scored and compared.
        arms: Names that are already in use.

    Raises:
        InputError: With every problem: names, ids, grids, and missing, foreign or duplicate cases.
    """
    problems: list[Problem] = []
    planned = []
    for name, folder in named.items():
        if name in arms:
            problems.append(
                Problem(f"external {name}: an arm of the study has this name; choose another one")
            )
        with gather(problems):
            planned.append(_planned(name, folder, inputs, terms))
    raise_all(problems)
    return planned


def _planned(name: str, folder: Path, inputs: StudyInputs, terms: Terms) -> PlannedExternal:
    files = _files(name, folder, inputs)
    hashes = content_hashes(files.values())
    runs: list[ExternalSpec] = []
    notes: list[str] = []
    problems: list[Problem] = []
    for fold, split in inputs.splits.items():
        own = {case: files[case] for case in split.test}
        sha256 = {case: hashes[file] for case, file in own.items()}
        spec = _spec(name, own, sha256, inputs.identity(fold), terms)
        with gather(problems):
            notes += _checked(spec, inputs)
        runs.append(spec)
    raise_all(problems)
    return PlannedExternal(name, folder, terms.parent, runs, tuple(dict.fromkeys(notes)))


def _files(name: str, folder: Path, inputs: StudyInputs) -> dict[str, Path]:
    """Returns the label map of each test case of all folds.

    Raises:
        InputError: With every missing, foreign or duplicate case.
    """
    wanted = list(dict.fromkeys(case for split in inputs.splits.values() for case in split.test))
    if not wanted:
        raise InputError(Problem(f"external {name}: the split has no test cases to score", folder))
    found, problems = predicted_maps(folder)
    known = {case.id: case for case in inputs.dataset.cases}
    problems += [
        Problem(f"external {name}: there is no label map of test case '{case}' here", folder)
        for case in wanted
        if case not in found
    ]
    for case in sorted(found.keys() - set(wanted)):
        what = "is used in training or validation" if case in known else "is not in the data set"
        message = f"external {name}: '{case}' {what}; remove all but the split's test cases"
        problems.append(Problem(message, found[case]))
    for case in wanted:
        if case in found and any(_same(found[case], file) for file in known[case].files):
            message = f"external {name}: is the data set's own file; give predictions instead"
            problems.append(Problem(message, found[case]))
    raise_all(problems)
    return {case: found[case] for case in wanted}


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _spec(
    name: str,
    files: Mapping[str, Path],
    sha256: Mapping[str, str],
    data: DataIdentity,
    terms: Terms,
) -> ExternalSpec:
    content = {
        "external": name,
        "sha256": dict(sha256),
        "data": [data.fingerprint, data.split_hash, data.fold, list(data.class_names)],
        "convention": terms.convention,
        "seed": terms.seed,
        "scoring": SCORING,
    }
    digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]
    folder = RunFolder(terms.home, digest)
    return ExternalSpec(name, folder, data, files, sha256, terms.seed, terms.convention)


def _checked(spec: ExternalSpec, inputs: StudyInputs) -> list[str]:
    """Returns notes on the files; files that were already scored are not read again.

    Raises:
        InputError: With every file that is not a label map of its case.
    """
    try:
        record = spec.folder.read()
    except SpsamError:
        record = {}  # a damaged record is rewritten
    if record.get("status") == "finished":
        return [str(note) for note in record.get("notes", ())]
    raw_ids = {raw: k for k, raw in enumerate(inputs.dataset.raw_ids)}
    notes: list[str] = []
    problems: list[Problem] = []
    for case, file in spec.files.items():
        with gather(problems):
            _, warnings = read_prediction(file, inputs.dataset.case(case), raw_ids)
            notes += [str(warning) for warning in warnings]
    raise_all(problems)
    return notes
