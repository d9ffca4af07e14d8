"""The words of a diagnosis: a row's templates filled with what was found, and still sentences where it was not.

Never shows a gap as a placeholder in words; only a command, which must not look runnable then, keeps `<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_PLACEHOLDER: Final = re.compile(r"\{([a-z_][a-z_0-9]*)\}")
#: Words that say nothing where an entity in them is not known: `[ at line {line}]`.
_OPTIONAL: Final = re.compile(r"\[([^\[\]]*\{[a-z_][a-z_0-9]*\}[^\[\]]*)\]")
#: A sentence that breaks off, or has one determiner too many.
_BROKEN: Final = re.compile(
    r"\b(?:[Tt]he|[Aa]n?|[Nn]o|of|at|by|to|near|and)\s*(?:[.,:;](?:\s|$)|$)"
    r"|\b(?:[Tt]he|[Aa]n?|[Nn]o) (?:the|an?|no)\b|[<>\[\]]"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_CLAUSE: Final = re.compile(r";\s+")
_LAST_WORD: Final = re.compile(r"([A-Za-z]+)\s*$")
_GAP: Final = "\0"

#: What stands for an entity that is not known, where "the" and its own name would not do.
_NAMELESS: Final[Mapping[str, str]] = {
    "actual_type": "another",
    "allowed": "the words that it lists",
    "attribute": "a name",
    "exception": "an exception",
    "expected": "another kind of value",
    "fields": "new ones",
    "from_type": "the old type",
    "host": "the host",
    "ip": "the address of this machine",
    "location": "this region",
    "message": "what is below",
    "minimum": "the runtime that the message names",
    "principal": "the identity",
    "privilege": "a privilege",
    "permission": "a permission",
    "profile_host": "one host",
    "configured_host": "another",
    "required": "the one that it names",
    "required_type": "the type that the message asks for",
    "resource_type": "the resource",
    "securable": "the object",
    "securable_type": "",
    "suggestion": "another name",
    "to_type": "the type that is asked for",
    "url": "the address",
}
#: Nouns after which a missing name leaves no gap: "Column {column} does not exist", "the branch {required}".
_NOUN_WORDS: Final = """
    account address alert app artifact attribute branch bucket checkpoint cluster column constraint container dashboard
    dataset endpoint expectation experiment field fields file flow function host job key library line model module name
    notebook operation option package path permission pipeline pool position privilege profile profiles program
    reference resource schema scope script secret setting space table target task token type update variable version
    view volume warehouse widget
"""
_NOUNS: Final = frozenset(_NOUN_WORDS.split())
#: After these comes a noun without an article.
_DETERMINERS: Final = frozenset(("a", "an", "the", "no", "one", "another", "concurrent"))
#: Words that want one of their own where the name is gone.
_GIVEN: Final[Mapping[str, str]] = {"id": " that was given", "called": " that"}


def fill(template: str, found: Mapping[str, str]) -> str:
    """The template with its placeholders, or "" when one of them is not known."""
    template = _optional(template, found)
    if any(name not in found for name in _PLACEHOLDER.findall(template)):
        return ""
    return _PLACEHOLDER.sub(lambda name: found[name[1]], template)


def with_gaps(command: str, found: Mapping[str, str]) -> str:
    """A command to read and not to run: placeholders that are not known stand as `<name>`."""
    return _PLACEHOLDER.sub(lambda name: found.get(name[1], f"<{name[1]}>"), command)


def title(template: str, found: Mapping[str, str]) -> str:
    """One line in which an entity that is not known is spoken of without its name."""
    return _spoken(template, found).rstrip(" :,.") if _open_in(template, found) else _spoken(template, found)


def step(template: str, found: Mapping[str, str]) -> str:
    """The title of a fix: clauses after a semicolon that hold what is not known are left out."""
    first, *others = _CLAUSE.split(_optional(template, found))
    clauses = [title(first, found), *(words for other in others if (words := fill(other, found)))]
    return "; ".join(clauses)


def sentences(template: str, found: Mapping[str, str]) -> str:
    """The sentences of an explanation; the first is always there, another one only where all of it is known."""
    first, *others = _SENTENCE.split(template.strip())
    parts = [_spoken(first, found), *(words for other in others if (words := fill(other, found)))]
    return " ".join(parts)


def gaps(template: str) -> str:
    """The words that a template comes to where nothing is known, if they do not read as a sentence; "" if they do."""
    if not _PLACEHOLDER.search(template):
        return ""
    for words in (sentences(template, {}), step(template, {})):
        if _BROKEN.search(words):
            return words
    return ""


def _optional(template: str, found: Mapping[str, str]) -> str:
    return _OPTIONAL.sub(lambda part: "" if _open_in(part[1], found) else part[1], template)


def _open_in(template: str, found: Mapping[str, str]) -> bool:
    return any(name not in found for name in _PLACEHOLDER.findall(template))


def _spoken(template: str, found: Mapping[str, str]) -> str:
    template = _optional(template, found)
    if not _open_in(template, found):
        return fill(template, found)
    words = ""
    end = 0
    for place in _PLACEHOLDER.finditer(template):
        words += template[end : place.start()]
        end = place.end()
        words = words + found[place[1]] if place[1] in found else _without(words, place[1])
    words += template[end:]
    # A sign that led up to the name, and quotes around it, have nothing to hold any more.
    words = re.sub(rf"\s*[:(\[\"'`]*{_GAP}[\"'`)\]]*", "", words)
    words = re.sub(r"\s+([.,:;])(?=\s|$)", r"\1", re.sub(r"\s{2,}", " ", words)).strip()
    return words[:1].upper() + words[1:] if template.startswith("{") else words


def _without(before: str, name: str) -> str:
    """The words before an entity that is not known, with what stands for it."""
    last = _LAST_WORD.search(before)
    word = last[1].lower() if last else ""
    if before.rstrip(" '\"`").endswith((":", "(")):
        return before.rstrip() + _GAP
    if word in _GIVEN:
        return before.rstrip() + _GIVEN[word]
    if last and not last.start() and word in _NOUNS:
        return f"The {word}{_GAP}"
    if word in _NOUNS or (word, name) == ("run", "run_id"):
        return before + _GAP
    stand_in = _NAMELESS.get(name, f"the {name.removesuffix('_id').replace('_', ' ')}")
    return before + (stand_in.partition(" ")[2] if word in _DETERMINERS else stand_in)
