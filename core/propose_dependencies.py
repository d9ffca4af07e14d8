"""A module that is missing where a task runs: its package is added the way the task gets its packages.

Never proposes to install what is a file of the bundle itself, and is sure only of packages that are known by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..matrix.model import Diagnosis, Edit, Fix, Location
from .bundle import Bundle, Resource
from .bundle_resolve import mapping
from .known_packages import package_of
from .propose_context import Context, proposal
from .propose_names import wrong_name
from .sources import code_files, is_notebook, read_lines, read_text
from .task_sources import Owner, files_of, owners_of, task_of
from .yaml_edit import Splice, scalar

# The runtime brings these: where one is missing, the code runs in the wrong place, and installing it hides that.
_OF_THE_RUNTIME = frozenset({"pyspark", "dbutils", "dlt", "delta", "databricks", "IPython", "pip", "sys"})
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z][\w.-]{0,80})(?:\[[\w,-]{1,80}\])?(?:[=~!<>]=?=?[\w.*,<>=!~ ]{1,60})?")
_PIP = re.compile(r"^(?P<head>\s*(?:# MAGIC\s+)?%pip\s+install\s+(?:-q\s+|--quiet\s+)?)(?P<rest>.*)$")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a requirement was added: an edit of a YAML file as a splice, or of a source file as an edit."""

    file: str
    splice: Splice | None = None
    edit: Edit | None = None
    how: str = ""


def missing_module(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """The package of a missing module, where the task that failed gets its packages; so for all that import it."""
    module = wrong_name(diagnosis)
    dotted = diagnosis.entities.get("module", module)
    if not re.fullmatch(r"[A-Za-z_]\w{0,80}", module) or context.resource is None:
        return []
    if module in _OF_THE_RUNTIME and not package_of(dotted):
        return []
    own = _in_the_bundle(context.bundle, module)
    if own:
        title = f"{module} is code of this bundle ({own}): put its folder on sys.path, or build it into a wheel"
        return [Fix(kind="manual", title=title, confidence=0.7)]
    requirement, confidence = _requirement(context.bundle, dotted, module)
    owners = [Owner(context.resource, context.task_key), *_others(context.bundle, module)]
    places: dict[tuple[str, str], _Place] = {}
    for number, owner in enumerate(owners):
        place = _place_for(context, owner, requirement)
        if place is None:
            if number == 0:
                return []
            continue
        places.setdefault((place.file, str(place.splice or place.edit)), place)
    first = next(iter(places.values()))
    edits = list(_edits(context, places.values()))
    title = f"{requirement} → {first.how}" + (f" and {len(places) - 1} more" if len(places) > 1 else "")
    risk = None
    if confidence < 0.9:
        risk = f"The package may not be called {requirement}: anybody can publish under a name that is free."
    return proposal(context, "yaml" if first.splice else "edit", title, edits, confidence=confidence, risk=risk)


def _edits(context: Context, places: Iterable[_Place]) -> Iterator[Edit]:
    splices: dict[str, list[Splice | None]] = {}
    for place in places:
        if place.edit is not None:
            yield place.edit
        else:
            splices.setdefault(place.file, []).append(place.splice)
    for file, found in splices.items():
        document = context.document(file)
        if document is not None:
            yield from document.edits(found)


# --- which package ----------------------------------------------------------------------------------------------------


def _requirement(bundle: Bundle, dotted: str, module: str) -> tuple[str, float]:
    """(the requirement, how sure that is): as the bundle itself writes it elsewhere, else by its well-known name."""
    known = package_of(dotted)
    names = {_normal(name) for name in (known, module) if name}
    for text in _requirements_of(bundle):
        found = _REQUIREMENT.fullmatch(text.strip())
        if found and _normal(found["name"]) in names:
            return text.strip(), 0.95
    return (known, 0.92) if known else (module.replace("_", "-"), 0.6)


def _requirements_of(bundle: Bundle) -> Iterator[str]:
    """What the bundle asks for anywhere: entries of YAML lists, requirement files, %pip lines, pyproject."""
    for file in bundle.files:
        for line in read_lines(bundle, file):
            yield re.sub(r"\s+#.*$", "", line).strip().removeprefix("- ").removeprefix("package:").strip().strip("'\"")
    for name in _requirement_files(bundle):
        for line in read_lines(bundle, name):
            yield re.sub(r"\s+#.*$", "", line).strip().strip(",").strip("'\"")
    for file in code_files(bundle):
        if "%pip" not in read_text(bundle, file):
            continue
        for line in read_lines(bundle, file):
            found = _PIP.match(line)
            yield from found["rest"].split() if found else ()


def _requirement_files(bundle: Bundle) -> list[str]:
    names = [path.name for path in bundle.root.glob("*requirements*.txt") if not path.is_symlink()]
    return [*names, *(["pyproject.toml"] if (bundle.root / "pyproject.toml").is_file() else [])]


def _normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name_of(requirement: str) -> str:
    return _normal(re.split(r"[\[=~!<>; ]", requirement.strip(), maxsplit=1)[0])


def _in_the_bundle(bundle: Bundle, module: str) -> str:
    """The file or folder of the bundle that has the module's name; empty where there is none."""
    for file in code_files(bundle):
        parts = file.split("/")
        if parts[-1] == f"{module}.py" or module in parts[:-1]:
            return file if parts[-1] == f"{module}.py" else file[: file.index(f"{module}/") + len(module)]
    return ""


# --- which task, and how it gets its packages -------------------------------------------------------------------------


def _others(bundle: Bundle, module: str) -> list[Owner]:
    """The other tasks and pipelines whose code imports the module."""
    files = dict.fromkeys(place.file for place in import_places(bundle, module))
    return list(dict.fromkeys(owner for file in files for owner in owners_of(bundle, file)))[:50]


def _place_for(context: Context, owner: Owner, requirement: str) -> _Place | None:
    """Where the requirement goes for one task; None where it is there already, or no way is to be seen."""
    resource = owner.resource
    if resource.type == "pipelines":
        return _in_pipeline(context, resource, requirement)
    task = task_of(resource, owner.task_key)
    if task is None:
        return None
    if task.get("environment_key"):
        return _in_environment(context, resource, str(task["environment_key"]), requirement)
    if any(task.get(name) for name in ("job_cluster_key", "new_cluster", "existing_cluster_id")):
        return _in_libraries(context, resource, owner.task_key, requirement)
    if mapping(task.get("notebook_task")):
        files = files_of(context.bundle, resource, owner.task_key)
        return _in_notebook(context.bundle, files[0], requirement) if files else None
    return None


def _in_environment(context: Context, resource: Resource, key: str, requirement: str) -> _Place | None:
    for document, declared in context.declarations(resource):
        listed = document.at((*declared.path, "environments"))
        for index in range(len(getattr(listed.value, "value", ())) if listed else 0):
            at = (*declared.path, "environments", index)
            named = document.at((*at, "environment_key"))
            if named is None or getattr(named.value, "value", "") != key:
                continue
            how = f"environment {key} of {resource.key}"
            return _in_list(context, document.file, (*at, "spec"), "dependencies", requirement, how)
    return None


def _in_pipeline(context: Context, resource: Resource, requirement: str) -> _Place | None:
    for document, declared in context.declarations(resource):
        if document.at((*declared.path, "environment")) is not None:
            how = f"environment of {resource.key}"
            return _in_list(context, document.file, (*declared.path, "environment"), "dependencies", requirement, how)
        body = f"\ndependencies:\n  - {scalar(requirement)}"
        splice = document.add(declared, "environment", body)
        if splice is not None:
            return _Place(document.file, splice=splice, how=f"environment of {resource.key}")
    return None


def _in_libraries(context: Context, resource: Resource, task_key: str, requirement: str) -> _Place | None:
    for document, spot in context.tasks(resource, task_key):
        held = document.at((*spot.path, "libraries"))
        entry = f"pypi:\n  package: {scalar(requirement)}"
        if held is None:
            splice = document.add(spot, "libraries", "\n- pypi:\n    package: " + scalar(requirement))
        else:
            splice = document.append(held, entry)
        if splice is not None:
            return _Place(document.file, splice=splice, how=f"libraries of {task_key}")
    return None


def _in_list(
    context: Context, file: str, path: tuple[str | int, ...], name: str, requirement: str, how: str
) -> _Place | None:
    document = context.document(file)
    holder = document.at(path) if document is not None else None
    if document is None or holder is None:
        return None
    held = document.at((*path, name))
    if held is None or (not getattr(held.value, "value", None) and held.key is not None):
        body = f"\n- {scalar(requirement)}"
        splice = document.add(holder, name, body) if held is None else document.replace_value(held, body[1:])
    else:
        items = [str(getattr(item, "value", "")) for item in held.value.value] if held.value.value else []
        if _name_of(requirement) in map(_name_of, items):
            return None
        splice = document.append(held, scalar(requirement))
    return _Place(file, splice=splice, how=how) if splice is not None else None


def _in_notebook(bundle: Bundle, file: str, requirement: str) -> _Place | None:
    """A %pip line: added to the one that is there, else a cell of its own at the top."""
    if not re.fullmatch(r"[\w.\[\],=~!<>*-]{1,200}", requirement) or not is_notebook(bundle, file):
        return None
    if re.search(r"[<>*]", requirement):
        requirement = f"'{requirement}'"
    lines = read_lines(bundle, file)
    if file.endswith(".ipynb"):
        return _in_jupyter(file, lines, requirement)
    if not file.endswith(".py"):
        return None
    for number, line in enumerate(lines, start=1):
        found = _PIP.match(line)
        if found and "-r " not in line:
            return _Place(file, edit=Edit(file, number, line, f"{line.rstrip()} {requirement}"), how=f"%pip in {file}")
    cell = f"# MAGIC %pip install {requirement}\n\n# COMMAND ----------\n"
    return _Place(file, edit=Edit(file, 2, None, cell), how=f"a %pip cell of {file}")


def _in_jupyter(file: str, lines: list[str], requirement: str) -> _Place | None:
    """The first line of the first code cell, as a JSON string; None where the file is not written line by line."""
    code = next((n for n, line in enumerate(lines) if re.match(r'\s*"cell_type": "code"', line)), None)
    if code is None:
        return None
    for number in range(code, min(code + 200, len(lines) - 1)):
        if re.match(r'\s*"source": \[\s*$', lines[number]):
            first = lines[number + 1]
            indent = first[: len(first) - len(first.lstrip())]
            if not first.lstrip().startswith('"'):
                return None
            new = f'{indent}"%pip install {requirement}\\n",'
            return _Place(file, edit=Edit(file, number + 2, None, new), how=f"a %pip line in {file}")
    return None


def import_places(bundle: Bundle, module: str) -> tuple[Location, ...]:
    """Where code of the bundle imports the module."""
    imports = re.compile(rf"^\s*(?:import|from)\s+{re.escape(module)}(?![\w])")
    return tuple(
        Location(file, number)
        for file in code_files(bundle)
        if module in read_text(bundle, file)
        for number, line in enumerate(read_lines(bundle, file), start=1)
        if imports.match(line)
    )
