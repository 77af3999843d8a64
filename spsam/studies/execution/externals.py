"""Scoring of externals into folders like those of runs, once per content of their label maps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from spsam.checksums import from_sealed_json
from spsam.config.yaml_file import to_yaml
from spsam.engine.external_spec import ExternalSpec
from spsam.errors import SpsamError
from spsam.files import clear_drafts, write_text
from spsam.results.environment import environment
from spsam.studies.backend import Backend
from spsam.studies.planning.external import PlannedExternal
from spsam.studies.planning.plan import Ablation
from spsam.studies.progress_events import ProgressListener
from spsam.studies.recording.summary import is_finished

if TYPE_CHECKING:
    from spsam.data.preparation.store import PreparedStore

OnScored = Callable[[ExternalSpec], None]
"""Called with each scored external, including those scored before."""


def score_externals(
    ablation: Ablation,
    stores: Mapping[str, PreparedStore],
    backend: Backend,
    watch: ProgressListener,
    on_scored: OnScored,
) -> None:
    """Scores the externals that are not scored yet; equal content is not scored again.

    Raises:
        InputError: If a file has changed since the study was planned.
    """
    for external in ablation.externals:
        # An arm's runs are sorted by seed: the first ones are the folds of the first seed.
        for run, of_arm in zip(external.runs, ablation.arms[0].runs, strict=False):
            store = stores[of_arm.plan.key]
            with run.folder.lock(wait=True):
                if not _is_scored(run):
                    _score(external, run, ablation, store, backend=backend, watch=watch)
            on_scored(run)


def changed_externals(ablation: Ablation) -> list[str]:
    """Returns a message for each external whose files changed since the study was last written."""
    before: dict[str, Mapping[str, str]] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = from_sealed_json((ablation.folder / "ablation.json").read_bytes())
        before = {
            arm["name"]: arm["external"]["sha256"] for arm in about["arms"] if arm.get("external")
        }
    told = []
    for external in ablation.externals:
        known, now = before.get(external.name), external.sha256
        if known is None or known == now:
            continue
        cases = [case for case in now if known.get(case) != now[case]]
        shown = ", ".join(cases[:5]) + (", …" if len(cases) > 5 else "")
        told.append(
            f"external {external.name}: {len(cases)} of {len(now)} label maps have changed since "
            f"the last call; all are scored again: {shown}"
        )
    return told


def _is_scored(run: ExternalSpec) -> bool:
    try:
        return is_finished(run.folder)
    except SpsamError:
        return False  # the folder is damaged; it is rewritten from the label maps


def _score(
    external: PlannedExternal,
    run: ExternalSpec,
    ablation: Ablation,
    store: PreparedStore,
    *,
    backend: Backend,
    watch: ProgressListener,
) -> None:
    folder = run.folder
    clear_drafts(folder.path, below=True)
    folder.record.unlink(missing_ok=True)
    write_text(folder.config, to_yaml(run.config()))
    folder.note(
        status="running",
        run_id=folder.run_id,
        arm=run.name,
        seed=run.seed,
        external={"folder": str(external.folder), "sha256": dict(run.sha256)},
        notes=list(external.notes),
        environment=environment("cpu"),
    )
    began = time.perf_counter()
    what = f"scoring {run.name}"
    watch.stage(what, 0, len(run.files))
    backend.score_external(
        run, ablation.dataset, store, lambda done, total: watch.stage(what, done, total)
    )
    folder.read_rows()
    folder.note(
        status="finished",
        seconds=round(time.perf_counter() - began, 2),
        files=folder.checksums(),
    )
