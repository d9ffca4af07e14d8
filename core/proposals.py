"""From a cause to exact edits: each known cause has small functions that propose for this bundle; one table of them.

Proposes only what it can write down exactly; where it is not sure, it says so by its confidence. Writes no file.
"""

from __future__ import annotations

from dataclasses import replace

from ..matrix.matcher import Matrix, load_matrix
from ..matrix.model import Diagnosis, Fix, Location
from .patches import PatchRefused
from .propose_context import SAFE_CONFIDENCE, Context, Proposer
from .propose_dependencies import import_places, missing_module
from .propose_fields import enum_value, missing_field, nearest_field
from .propose_names import MOST_PLACES, made_in_the_bundle, suggested_name, wrong_name
from .propose_references import declared_twice, include_matches_nothing, not_included, reference, wrong_path
from .propose_runs import makers, named_first, with_retry, with_safe_commands
from .propose_tasks import job_reference, longer_timeout, notebook_parameters, task_type
from .sources import same_class

__all__ = ["PROPOSERS", "SAFE_CONFIDENCE", "Context", "propose", "wrong_name"]

PROPOSERS: dict[str, tuple[Proposer, ...]] = {
    # code
    "unresolved_column": (suggested_name,),
    "table_not_found": (suggested_name, makers, made_in_the_bundle),
    "function_not_found": (suggested_name, makers),
    "missing_python_module": (missing_module,),
    # the bundle's YAML
    "invalid_task_type": (task_type, nearest_field),
    "wrong_job_reference_field": (job_reference,),
    "invalid_notebook_parameters": (notebook_parameters,),
    "unknown_config_field": (task_type, job_reference, notebook_parameters, nearest_field),
    "missing_required_field": (missing_field,),
    "invalid_enum_value": (enum_value,),
    "invalid_parameter_value": (enum_value,),
    "variable_not_defined": (reference,),
    "variable_missing_prefix": (reference,),
    "unresolved_reference": (reference,),
    "resource_not_defined": (not_included, reference),
    "job_not_found": (not_included,),
    "include_missing": (include_matches_nothing,),
    "notebook_not_found": (wrong_path,),
    "bundle_file_not_found": (wrong_path,),
    "path_outside_sync_root": (wrong_path,),
    "duplicate_resource_key": (declared_twice,),
    "job_timeout": (longer_timeout,),
    # what has to be there first
    "dlt_dataset_unresolved": (makers, made_in_the_bundle),
    "schema_not_found": (makers,),
    "volume_not_found": (makers,),
    "genie_dependency_missing": (makers,),
    "alert_query_failed": (makers,),
}
# The same wrong name is looked for in the sibling sources only where a name in code is what is wrong.
_OF_CODE = frozenset({"unresolved_column", "table_not_found", "function_not_found"})


def propose(diagnosis: Diagnosis, context: Context, matrix: Matrix | None = None) -> Diagnosis:
    """The diagnosis with exact proposals put before the row's own advice, and the other places of the same class.

    `matrix` is the one that made the diagnosis: the commands of its row are filled anew, and safely.
    """
    diagnosis = with_safe_commands(diagnosis, matrix or load_matrix(), context)
    diagnosis = replace(diagnosis, also_at=_also_at(diagnosis, context))
    fixes: list[Fix] = []
    for proposer in (named_first, *PROPOSERS.get(diagnosis.cause, ())):
        try:
            fixes += proposer(diagnosis, context)
        except PatchRefused:
            continue
    ordered = sorted(_distinct(fixes), key=lambda fix: -fix.confidence)
    return with_retry(replace(diagnosis, fixes=(*ordered, *diagnosis.fixes)))


def _also_at(diagnosis: Diagnosis, context: Context) -> tuple[Location, ...]:
    name, here = wrong_name(diagnosis), diagnosis.location
    if not name or here is None or here.line is None:
        return ()
    if diagnosis.cause == "missing_python_module":
        places = import_places(context.bundle, name)
    else:
        places = same_class(context.bundle, here, name) if diagnosis.cause in _OF_CODE else ()
    return tuple(place for place in places if (place.file, place.line) != (here.file, here.line))[:MOST_PLACES]


def _distinct(fixes: list[Fix]) -> list[Fix]:
    """The fixes, each edit and each command once."""
    seen: dict[object, Fix] = {}
    for fix in fixes:
        seen.setdefault(fix.patch or fix.command or fix.title, fix)
    return list(seen.values())
