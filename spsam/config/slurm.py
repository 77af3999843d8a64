"""The schema of `--slurm`: the resources of Slurm jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spsam.config.fields import Count, Section, Whole, chosen
from spsam.config.problems import Place, check, raise_all
from spsam.config.yaml_file import KeyPath, read_yaml


class SlurmConfig(Section):
    """The resources of a job. Values that are null are left to the cluster's defaults."""

    partition: str | None = chosen(None, "Partition, or several separated by commas.")
    account: str | None = chosen(None, "Account to charge.")
    qos: str | None = chosen(None, "Quality of service.")
    constraint: str | None = chosen(None, "Required features of nodes.")
    minutes: Count = chosen(60, "Time limit; a longer run is requeued and resumes.")
    warning: Count = chosen(90, "Seconds before the time limit at which a run saves its state.")
    cpus: Count = chosen(1, "CPU cores per run and node.")
    memory: str | None = chosen(None, "Memory per node, e.g. 16G.")
    gpus: Whole = chosen(0, "GPUs per run and node.")
    nodes: Count = chosen(1, "Nodes per run; they share every batch.")
    array: Count = chosen(500, "Maximum size of a job array.")
    runs_per_job: Count = chosen(1, "Number of runs per job, one after the other.")
    setup: tuple[str, ...] = chosen((), "Shell commands before a run, e.g. module load cuda.")
    options: dict[str, Any] = chosen({}, "Further options of sbatch, by their long names.")


def load_slurm(path: Path | None) -> SlurmConfig:
    """Reads the resources of Slurm jobs; without a file, returns the defaults.

    Raises:
        InputError: With every mistake and its line.
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
