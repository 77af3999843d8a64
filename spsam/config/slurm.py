"""What a job on Slurm asks for: the file of `--slurm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spsam.config.fields import Count, Section, Whole, chosen
from spsam.config.problems import Place, check, raise_all
from spsam.config.yaml_file import KeyPath, read_yaml


class SlurmConfig(Section):
    """A job. What is null is left to the cluster's own defaults."""

    partition: str | None = chosen(None, "Where jobs run; several with commas.")
    account: str | None = chosen(None, "Who pays.")
    qos: str | None = chosen(None, "Quality of service.")
    constraint: str | None = chosen(None, "Features that a node must have.")
    minutes: Count = chosen(60, "Time limit; a run that needs longer is requeued and goes on.")
    warning: Count = chosen(90, "Seconds before the limit in which a run keeps what it has.")
    cpus: Count = chosen(1, "Processors of a run, on each node.")
    memory: str | None = chosen(None, "Memory of a node, e.g. 16G.")
    gpus: Whole = chosen(0, "GPUs of a run, on each node; 0: none.")
    nodes: Count = chosen(1, "Nodes of a run, which share every batch.")
    array: Count = chosen(500, "The largest job array that the cluster takes.")
    runs_per_job: Count = chosen(1, "Short runs that a job takes one after the other.")
    setup: tuple[str, ...] = chosen((), "Shell commands before a run, e.g. module load cuda.")
    options: dict[str, Any] = chosen({}, "Further options of sbatch, by their long names.")


def load_slurm(path: Path | None) -> SlurmConfig:
    """Reads a file; None gives the defaults.

    Raises:
        InputError: With every mistake, by line.
    """
    if path is None:
        return SlurmConfig()
    file = read_yaml(path)

    def place(keys: KeyPath) -> Place:
        return Place(path, file.line(keys))

    config, problems = check(SlurmConfig, file.data, place)
    raise_all(problems)
    assert isinstance(config, SlurmConfig)
    return config
