"""Many failures, few causes: diagnoses of several tasks folded by cause, root first, each with its tasks.

Never diagnoses; it only folds what diagnose.py said, and keeps every task in exactly one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .diagnose import UNKNOWN, diagnose
from .matcher import Matrix, load_matrix
from .model import Diagnosis, Failure, Fix, Location

#: Entities that tell two failures of one cause apart: two missing modules are two groups.
_TELLING = (
    "module",
    "package",
    "table",
    "view",
    "column",
    "schema",
    "catalog",
    "volume",
    "function",
    "file_path",
    "path",
    "privilege",
    "securable",
    "field",
    "variable",
    "reference",
    "cluster_id",
    "warehouse_id",
    "warehouse",
    "job_id",
    "pipeline_id",
    "endpoint",
    "model",
    "widget",
    "constraint",
    "expectation",
    "dataset",
    "script",
    "library",
    "profile",
    "host",
    "principal",
)


def group(failures: Iterable[Failure], *, limit: int = 5, matrix: Matrix | None = None) -> tuple[Diagnosis, ...]:
    """One diagnosis per distinct cause over many failures, with the `task_keys` that it explains.

    A failure counts for its first diagnosis. Groups stand root first: causes before cascades before what is unknown
    only by wrapping, then by how many tasks they explain. A cascade is dropped into no other group; where real causes
    are known it stands last. At most `limit` diagnoses are looked at per failure; failures without one are left out.
    """
    matrix = matrix or load_matrix()
    found: list[Diagnosis] = []
    for position, failure in enumerate(failures):
        named = failure if failure.task_key else replace(failure, task_key=f"#{position + 1}")
        found.extend(diagnose(named, limit=limit, matrix=matrix)[:1])
    return fold(found, matrix)


def fold(diagnoses: Iterable[Diagnosis], matrix: Matrix | None = None) -> tuple[Diagnosis, ...]:
    """The first diagnoses of several failures as one per distinct cause, in the order of `group`.

    Each carries the `task_keys` that it explains, the other places as `also_at`, and the fixes of all, each once.
    """
    matrix = matrix or load_matrix()
    folded: dict[tuple[str, ...], list[Diagnosis]] = {}
    for diagnosis in diagnoses:
        folded.setdefault(_key(diagnosis), []).append(diagnosis)
    groups = [_fold(each) for each in folded.values()]
    order = {id(each): position for position, each in enumerate(groups)}
    return tuple(
        sorted(
            groups,
            key=lambda each: (_is_cascade(each, matrix), -len(each.task_keys), -each.confidence, order[id(each)]),
        )
    )


def counts(groups: Iterable[Diagnosis]) -> Mapping[str, int]:
    """How many tasks each cause explains, by cause."""
    total: dict[str, int] = {}
    for each in groups:
        total[each.cause] = total.get(each.cause, 0) + len(each.task_keys)
    return total


def _key(diagnosis: Diagnosis) -> tuple[str, ...]:
    if diagnosis.cause == UNKNOWN:
        telling = diagnosis.entities.get("error_class") or diagnosis.entities.get("exception", "")
        return (UNKNOWN, telling, diagnosis.entities.get("message", "")[:80])
    return (diagnosis.cause, *(diagnosis.entities.get(name, "") for name in _TELLING))


def _fold(same: list[Diagnosis]) -> Diagnosis:
    best = max(same, key=lambda each: each.confidence)
    keys = tuple(dict.fromkeys(key for each in same for key in each.task_keys))
    places: dict[Location, None] = {}
    for each in same:
        for place in (each.location, *each.also_at):
            if place is not None and place != best.location:
                places[place] = None
    return replace(best, task_keys=keys, also_at=tuple(places), fixes=_fixes(best, same))


def _fixes(best: Diagnosis, same: list[Diagnosis]) -> tuple[Fix, ...]:
    """The fixes of the best one, and before its mere advice the edits of the others that it does not hold already."""
    edits = [fix for fix in best.fixes if fix.patch is not None]
    for fix in (fix for each in same if each is not best for fix in each.fixes if fix.patch is not None):
        if not any(_covers(held, fix) for held in edits):
            edits.append(fix)
    rest: dict[tuple[object, ...], Fix] = {}
    for fix in (fix for each in (best, *same) for fix in each.fixes if fix.patch is None):
        rest.setdefault((fix.kind, fix.title, fix.command), fix)
    return (*sorted(edits, key=lambda fix: -fix.confidence), *rest.values())


def _covers(fix: Fix, other: Fix) -> bool:
    """Whether all that `other` changes is changed by `fix` in the same way."""
    if fix.patch is None or other.patch is None:
        return False
    return set(other.patch.edits) <= set(fix.patch.edits)


def _is_cascade(diagnosis: Diagnosis, matrix: Matrix) -> bool:
    row = matrix.by_id.get(diagnosis.row)
    return row is not None and row.cascade
