"""Reading the files of the study or the arms that a request specifies."""

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
    """The files that a request specifies.

    Attributes:
        study: The study's file; None if the request lists arms.
        arms: The arms' files. For a study that varies one arm, only that arm; for one that leaves
            blocks out, the full arm, followed by the base if the study specifies one.
    """

    study: StudyFile | None
    arms: Sequence[ArmFile]

    @property
    def files(self) -> list[Path]:
        """All files that were read; the study's file is the last."""
        study = [] if self.study is None else [self.study.file.path]
        return [*(file.path for arm in self.arms for file in arm.files), *study]


def select_arms(words: Sequence[str], problems: list[Problem]) -> Selection:
    """Reads the files of a study or of arms.

    Args:
        words: The request's arms, or one study.
        problems: Receives the problems in these files; arms with problems are omitted.
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
    # A list can be checked without the invalid arms; a study that varies one arm cannot.
    is_list = study is None or isinstance(study.config, Arms)
    return Selection(study, arms if is_list or not found else ())


def _files_of(study: StudyFile) -> list[Path]:
    """Returns the files of a study's arms; relative paths start at the folder of its file.

    Raises:
        InputError: With every arm that does not exist.
    """
    named, folder = study.config.named_arms, study.file.path.parent
    if isinstance(study.config, Arms):
        return arm_files(named, folder)
    # Other studies specify single arms, neither ranges nor lists.
    problems: list[Problem] = []
    files: list[Path] = []
    for word in named:
        with gather(problems):
            files.append(arm_file(word, folder))
    problems = [at_name(problem, study.file, ("full", "base")) for problem in problems]
    raise_all(problems)
    return files


def at_name(problem: Problem, file: YamlFile, keys: Sequence[str]) -> Problem:
    """Adds to an "unknown arm" problem the line of the key that has the name; keeps others."""
    for key in keys:
        name = file.data.get(key)
        if problem.file is None and problem.message.startswith(f"unknown arm '{name}'"):
            return Place(file.path, file.line((key,))).problem(f"{key}: {problem.message}")
    return problem


def _named_study(words: Sequence[str]) -> StudyFile | None:
    """Returns the study among the words of a request; None if they are arms.

    Raises:
        InputError: If there are other words besides the study, or its file is invalid.
    """
    paths = {word: path for word in words if (path := study_path(word)) is not None}
    if paths and len(words) > 1:
        raise InputError(f"{next(iter(paths))} is a study: give it alone, or list arms in it")
    return load_study(next(iter(paths.values()))) if paths else None
