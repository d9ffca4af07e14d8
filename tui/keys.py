"""From the keys that a person typed to resources of the bundle that can be run.

Never guesses: a key that is not there is answered with the ones that are.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ..core.bundle import Bundle
from .place import Stop

RUNNABLE = ("jobs", "pipelines")


def refs_of(bundle: Bundle, keys: Sequence[str]) -> tuple[str, ...]:
    """The refs of `keys`, each once, in their order. Raises Stop for one that is no job or pipeline of the bundle."""
    found: dict[str, None] = {}
    known = [resource for resource in bundle.resources if resource.type in RUNNABLE]
    for key in keys:
        resource = bundle.resource(key)
        if resource is not None and resource.type in RUNNABLE:
            found[resource.ref] = None
            continue
        if resource is not None:
            raise Stop(f"{key} is one of the {resource.type}: only jobs and pipelines can be run", code="key")
        near = difflib.get_close_matches(key, [resource.key for resource in known], n=3, cutoff=0.5)
        names = ", ".join(near or sorted(resource.key for resource in known)[:20]) or "none"
        errors = f"; the bundle has errors: {_first_error(bundle)}" if bundle.errors else ""
        raise Stop(
            f"there is no job or pipeline {key!r} in {bundle.name or 'the bundle'}{errors}",
            f"there are: {names}",
            code="key",
        )
    return tuple(found)


def _first_error(bundle: Bundle) -> str:
    problem = bundle.errors[0]
    return f"{problem.place.file}:{problem.place.line}: {problem.summary}" if problem.place else problem.summary
