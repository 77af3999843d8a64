"""Scores predictions made elsewhere, each content once, into a folder like a run's."""

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
"""Called with what is scored, now or before."""


def score_externals(
    ablation: Ablation,
    stores: Mapping[str, PreparedStore],
    backend: Backend,
    watch: ProgressListener,
    on_scored: OnScored,
) -> None:
    """Scores what is not scored yet; what was, under the same content, is left.

    Raises:
        InputError: If a file has changed since the study was planned.
    """
    for external in ablation.externals:
        # An arm's runs are seed by seed: the first are the first seed's folds.
        for run, of_arm in zip(external.runs, ablation.arms[0].runs, strict=False):
            store = stores[of_arm.plan.key]
            with run.folder.lock(wait=True):
                if not _is_scored(run):
                    _score(external, run, ablation, store, backend=backend, watch=watch)
            on_scored(run)


def changed_externals(ablation: Ablation) -> list[str]:
    """What has changed in the folders since the study was written last, a sentence each."""
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
            f"the study was made last; all are scored again: {shown}"
        )
    return told


def _is_scored(run: ExternalSpec) -> bool:
    try:
        return is_finished(run.folder)
    except SpsamError:
        return False  # damaged: made anew from the label maps, which are the truth of it


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
