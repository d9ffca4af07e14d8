"""What a proposal is made from: the bundle, where it failed, what is known to be valid; and how one is put together.

Writes no file. A proposal that could not be written down exactly is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..matrix.model import Diagnosis, Edit, Fix, FixKind
from .bundle import Bundle, Resource
from .bundle_schema import BundleSchema
from .patches import PatchRefused, make_patch
from .sources import read_lines
from .state import Identity
from .yaml_edit import Splice, Spot, YamlFile

# What `heal --apply safe` applies without asking: the edit is exact, and there is no other that it could be.
SAFE_CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Context:
    """Where the failure happened: bundle, resource and task, its text, and names known to be valid.

    `known_fields` are names of fields wherever they may stand; `schema` says more where it is known.
    """

    bundle: Bundle
    resource: Resource | None = None
    task_key: str = ""
    known_fields: tuple[str, ...] = ()
    schema: BundleSchema | None = None
    text: str = ""
    identity: Identity | None = None
    opened: dict[str, YamlFile | None] = field(default_factory=dict)  # YAML files as they were read, for this look

    def document(self, file: str) -> YamlFile | None:
        """A YAML file of the bundle as it can be edited; None where it cannot."""
        if file not in self.opened:
            self.opened[file] = YamlFile.of(file, read_lines(self.bundle, file))
        return self.opened[file]

    def documents(self) -> Iterator[YamlFile]:
        """Every YAML file that was read for the bundle, as far as it can be edited."""
        for file in self.bundle.files:
            document = self.document(file)
            if document is not None:
                yield document

    def declarations(self, resource: Resource) -> Iterator[tuple[YamlFile, Spot]]:
        """Where the YAML declares a resource: in `resources`, then in the target's own."""
        for prefix in ((), ("targets", self.bundle.target), ("environments", self.bundle.target)):
            for document in self.documents():
                spot = document.at((*prefix, "resources", resource.type, resource.key))
                if spot is not None:
                    yield document, spot

    def tasks(self, resource: Resource, task_key: str) -> Iterator[tuple[YamlFile, Spot]]:
        """Where the YAML declares a task of a job, also one inside of a `for_each_task`."""
        for document, declared in self.declarations(resource):
            for spot in document.spots():
                inside = spot.path[: len(declared.path)] == declared.path
                if inside and spot.path[-1] == "task_key" and getattr(spot.value, "value", None) == task_key:
                    task = document.at(spot.path[:-1])
                    if task is not None and "depends_on" not in spot.path:
                        yield document, task


Proposer = Callable[[Diagnosis, Context], list[Fix]]
Changes = Mapping[str, list[Splice | None]]


def proposal(
    context: Context,
    kind: FixKind,
    title: str,
    edits: Iterable[Edit],
    *,
    confidence: float,
    risk: str | None = None,
) -> list[Fix]:
    """One fix with these edits; none where there are no edits, or they do not fit."""
    edits = tuple(edits)
    if not edits:
        return []
    try:
        patch = make_patch(context.bundle.root, edits)
    except PatchRefused:
        return []
    return [Fix(kind=kind, title=title, patch=patch, risk=risk, confidence=confidence)]


def yaml_proposal(
    context: Context, title: str, changes: Changes, *, confidence: float, risk: str | None = None
) -> list[Fix]:
    """One fix that changes YAML files by splices; none where one of them could not be made."""
    edits: list[Edit] = []
    for file, splices in changes.items():
        document = context.document(file)
        if document is None or any(splice is None for splice in splices):
            return []
        try:
            edits += document.edits(splices)
        except ValueError:
            return []
    return proposal(context, "yaml", title, edits, confidence=confidence, risk=risk)


def in_places(title: str, changes: Changes) -> str:
    """The title with how many places it changes, where these are several."""
    places, files = sum(len(splices) for splices in changes.values()), len(changes)
    if places < 2:
        return title
    return f"{title} in {places} places" + (f" of {files} files" if files > 1 else "")


def best_match(wrong: str, known: Iterable[str], *, cutoff: float = 0.6) -> tuple[str, float, bool]:
    """(nearest known name, how near from 0 to 1, whether no other is as near); empty where none is near enough.

    Names that differ in a number only are different names: they are never each other's misspelling.
    """
    scored = sorted(((_nearness(wrong, name), name) for name in dict.fromkeys(known) if name != wrong), reverse=True)
    scored = [each for each in scored if each[0] >= cutoff]
    if not scored:
        return "", 0.0, False
    ratio, name = scored[0]
    return name, ratio, len(scored) == 1 or ratio - scored[1][0] >= 0.05


def _nearness(wrong: str, name: str) -> float:
    from difflib import SequenceMatcher

    if wrong.casefold() == name.casefold():
        return 1.0
    ratio = SequenceMatcher(None, wrong.casefold(), name.casefold()).ratio()
    digits = ["".join(filter(str.isdigit, each)) for each in (wrong, name)]
    return ratio if digits[0] == digits[1] else min(ratio, 0.75)
