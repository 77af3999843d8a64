"""The files that a request's words name: a study's, and those of the arms that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.config.problems import Place, gather, raise_all
from spsam.config.study import Arms, StudyFile, load_study
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem
from spsam.registry.arm_file import ArmFile, read_arm_file
from spsam.registry.files import arm_file, arm_files, study_path


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
    arms: list[ArmFile] = []
    found: list[Problem] = []
    with gather(found):
        study = _named_study(words)
        for file in arm_files(words) if study is None else _files_of(study):
            with gather(found):
                arms.append(read_arm_file(file))
    problems += found
    # A list does without an arm that cannot be read; what is made of one arm does not.
    is_list = study is None or isinstance(study.config, Arms)
    return Selection(study, arms if is_list or not found else ())


def _files_of(study: StudyFile) -> list[Path]:
    """The files of the arms that a study names; a path in its file starts there.

    Raises:
        InputError: If one leads nowhere; all mistakes at once.
    """
    named, folder = study.config.named_arms, study.file.path.parent
    if isinstance(study.config, Arms):
        return arm_files(named, folder)
    # One arm each: neither ranges nor lists.
    problems: list[Problem] = []
    files: list[Path] = []
    for word in named:
        with gather(problems):
            files.append(arm_file(word, folder))
    problems = [at_name(problem, study.file, ("full", "base")) for problem in problems]
    raise_all(problems)
    return files


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
