"""The files that a request's words name: a study's, and those of the arms that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.config.problems import Place, gather
from spsam.config.study import Arms, StudyFile, load_study
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem
from spsam.registry.arm_file import ArmFile, read_arm_file
from spsam.registry.files import arm_files, study_path


@dataclass(frozen=True)
class Selection:
    """What a request's words name, read.

    Attributes:
        study: The study that they name; None where they name arms.
        arms: The arms that are named; of a study that varies one, the varied one alone, and of
            one that leaves blocks out, the full arm before the base that it names.
    """

    study: StudyFile | None
    arms: Sequence[ArmFile]

    @property
    def files(self) -> list[Path]:
        """All files that were read, the study's last."""
        study = [] if self.study is None else [self.study.file.path]
        return [*(file.path for arm in self.arms for file in arm.files), *study]


def select_arms(words: Sequence[str], problems: list[Problem]) -> Selection:
    """Reads the files that words name, each once.

    Args:
        words: Of a request: arms, or one study.
        problems: Gets every mistake in these files; what has one is left out.
    """
    study: StudyFile | None = None
    with gather(problems):
        study = _named_study(words)
    if problems:
        return Selection(study, ())
    found: list[Problem] = []
    arms: list[ArmFile] = []
    with gather(found):
        for file in _arm_words(words, study):
            with gather(found):
                arms.append(read_arm_file(file))
    if study is None or isinstance(study.config, Arms):
        problems += found
        return Selection(study, arms)
    problems += [at_name(problem, study.file, ("full", "base")) for problem in found]
    return Selection(study, () if found else arms)


def _arm_words(words: Sequence[str], study: StudyFile | None) -> Sequence[str | Path]:
    """A name or path for each arm; ranges and lists are written out where several may be meant."""
    if study is None:
        return arm_files(words)
    named = [_beside(study.file.path, word) for word in study.config.named_arms]
    return arm_files(named) if isinstance(study.config, Arms) else named


def _beside(study: Path, word: str) -> str:
    """A path in a study's file starts at the file."""
    path = study.parent / word
    return str(path) if word.endswith((".yaml", ".yml")) and path.is_file() else word


def at_name(problem: Problem, file: YamlFile, keys: Sequence[str]) -> Problem:
    """That there is no arm of a name, at the line of the key that names it; others as they are."""
    for key in keys:
        name = file.data.get(key)
        if problem.file is None and problem.message.startswith(f"unknown arm '{name}'"):
            return Place(file.path, file.line((key,))).problem(f"{key}: {problem.message}")
    return problem


def _named_study(words: Sequence[str]) -> StudyFile | None:
    """The study that words name.

    Raises:
        InputError: If it is named among others, or its file is wrong.
    """
    paths = {word: path for word in words if (path := study_path(word)) is not None}
    if paths and len(words) > 1:
        raise InputError(f"{next(iter(paths))} is a study: name it alone, or list arms in it")
    return load_study(next(iter(paths.values()))) if paths else None
