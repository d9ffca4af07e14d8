"""Masks secrets in text: whatever has the shape of one, and every secret this process holds, also where it is wrapped.

Never shows "the first four", never keeps what it masked, and leaves run ids, hashes and uuids alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import quote

MASK = "[redacted]"


class _Pattern:
    """A regular expression that is compiled when it is first used: most runs meet no secret, and start sooner."""

    __slots__ = ("_compiled", "flags", "text")

    def __init__(self, text: str, flags: int = 0) -> None:
        self.text, self.flags = text, flags
        self._compiled: re.Pattern[str] | None = None

    @property
    def regex(self) -> re.Pattern[str]:
        if self._compiled is None:
            self._compiled = re.compile(self.text, self.flags)
        return self._compiled


_TOKEN_CHARS = r"[A-Za-z0-9+/._~=-]"
# A value that is code (`password=config.get(...)`, `api_key=None`) says where a secret is, it is none.
_NOT_CODE = (
    r"(?!(?:none|null|true|false|undefined|str|string|required|missing|invalid|expired|self|os|env|config|getpass)\b)"
    r"(?![A-Za-z_][\w.]{0,80}[(\[])(?![<$*\[{(])"
)
_KEYS = (
    r"(?:aws_?)?secret_?(?:access_?)?key|client_?secret|secret_?value|string_?value"
    r"|(?:access|refresh|auth|id|api|sas|session|security|bearer|personal_access|pat)_?tokens?"
    r"|pass_?word|passwd|pass_?phrase|pwd|account[._]?key[\w.]{0,120}|shared_?access_?key|api_?keys?|private_?key"
)

# Shapes within one line; the group `keep` stays. The formats are those that the providers document (dapi: a personal
# access token of Databricks, dose: an OAuth client secret), and too wide rather than too narrow.
_SHAPES = (
    _Pattern(r"(?<![A-Za-z0-9])(?:dapi|dose|dkea|dsaf)[0-9a-f]{32,64}(?:-\d{1,3})?", re.IGNORECASE),
    _Pattern(r"\beyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{4,8000}(?:\.[A-Za-z0-9_-]{0,8000}){0,3}"),
    _Pattern(
        r"(?P<keep>(?<![A-Za-z])(?:Proxy-)?Authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:(?:Bearer|Basic|Token|Digest)\s{1,4})?)"
        r"(?!(?:Bearer|Basic|Token|Digest)?\s*\[redacted\])[^\s\"',;]{4,8000}",
        re.IGNORECASE,
    ),
    _Pattern(
        rf"(?P<keep>\b(?:Bearer|Basic)\s{{1,4}})(?=[A-Za-z+/._~-]{{0,400}}[0-9=]){_TOKEN_CHARS}{{12,8000}}",
        re.IGNORECASE,
    ),
    _Pattern(r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b(?:[\s\"':,;|/=]{1,12}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+]))?"),
    _Pattern(
        rf"(?P<keep>(?<![A-Za-z0-9])(?:{_KEYS})[\"']?\]?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}}[\"'\\]{{0,2}})"
        rf"{_NOT_CODE}[^\s\"',;&}}{{)\]\\]{{6,8000}}",
        re.IGNORECASE,
    ),
    _Pattern(
        rf"(?P<keep>(?<![A-Za-z0-9_-])(?<!page )(?:databricks_)?token[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?)"
        rf"(?=[A-Za-z+/._~-]{{0,80}}[0-9])(?=[^A-Za-z]{{0,80}}[A-Za-z]){_TOKEN_CHARS}{{16,8000}}",
        re.IGNORECASE,
    ),
    _Pattern(r"(?P<keep>--?(?:token|password|client-secret|secret)[ =])(?!-)[^\s\"']{6,8000}", re.IGNORECASE),
    _Pattern(
        r"(?P<keep>[?&;](?:sig|token|access_token|id_token|refresh_token|code|client_secret|password|api_?key"
        r"|X-Amz-Signature|X-Amz-Security-Token|X-Amz-Credential|X-Goog-Signature|X-Goog-Credential)=)"
        r"(?!\[redacted\])[^\s&\"'<>]{4,8000}",
        re.IGNORECASE,
    ),
    _Pattern(r"(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@:\"'<>]{0,200}:[^\s/@\"'<>]{1,400}(?=@)", re.IGNORECASE),
    _Pattern(r"(?P<keep>\b(?:https?|git|ssh)://)[^\s/@:\"'<>]{8,400}(?=@)", re.IGNORECASE),
    _Pattern(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}|xox[abeprs]-[\w-]{10,255}"
        r"|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,64}|pypi-[\w-]{50,400}|npm_[A-Za-z0-9]{36})"
    ),
    _Pattern(
        r"(?P<keep>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----)[A-Za-z0-9+/=\s\\]{0,20000}(?=-----END|\Z)", re.IGNORECASE
    ),
    _Pattern(r"(?P<keep>\bDATABRICKS_(?:TOKEN|CLIENT_SECRET|PASSWORD)\s{0,2}[=:]\s{0,2}[\"']?)[^\s\"']{4,8000}"),
)
# One of these stands in every text that a shape above can match: plain substring search is many times faster.
_HINTS = (
    *("dapi", "dose", "dkea", "dsaf", "eyj", "bearer", "basic", "authorization", "akia", "asia", "abia", "acca"),
    *("secret", "token", "passw", "pass_", "passph", "pwd", "string_value", "stringvalue", "://", "private key"),
    *("accountkey", "account_key", "account.key", "accesskey", "access_key", "apikey", "api_key", "privatekey"),
    *("private_key", "?sig=", "&sig=", ";sig=", "?code=", "&code=", ";code=", "x-amz", "x-goog", "ghp_", "gho_"),
    *("ghu_", "ghs_", "ghr_", "github_pat", "glpat", "xox", "aiza", "hf_", "pypi-", "npm_"),
)

_LONG = 4_000  # characters from which on it pays to look for all hints at once

# The end of a line that may be the first part of a wrapped secret: what stands there goes, and the next line is looked
# at. JSON text has its line ends as two characters.
_LINE_END = _Pattern(r"(\r?\n|\\r\\n|\\n)")
_CUT_TOKEN = _Pattern(r"(?<![A-Za-z0-9])(?:dapi|dose|dkea|dsaf)[0-9a-f]{4,31}\s*\\?\Z", re.IGNORECASE)
_CUT_PREFIX = _Pattern(r"(?<![A-Za-z0-9])(?:dapi|dose)[0-9a-f]{0,3}\s*\\?\Z", re.IGNORECASE)
_CUTS = (
    _CUT_TOKEN,
    _Pattern(r"\beyJ[A-Za-z0-9_-]{5,8000}(?:\.[A-Za-z0-9_-]{0,8000}){0,4}\s*\\?\Z"),
    _Pattern(r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}[\s\"':,;|/=]{1,12}[A-Za-z0-9/+]{8,39}\s*\\?\Z"),
    _Pattern(r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|npm_|AIza)[\w-]{4,255}\s*\\?\Z"),
    _Pattern(
        rf"(?P<keep>(?<![A-Za-z0-9_-])(?<!page )token[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?)"
        rf"(?=[A-Za-z+/._~-]{{0,80}}[0-9]){_TOKEN_CHARS}{{6,15}}\s*\\?\Z",
        re.IGNORECASE,
    ),
    _Pattern(
        r"(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:\"'<>]{0,200}:)(?!\d{1,5}\b)[^\s/@\"'<>]{6,400}\s*\\?\Z",
        re.IGNORECASE,
    ),
)
_CUT_KEYED = _Pattern(
    rf"(?:(?<![A-Za-z0-9])(?:{_KEYS}|authorization|databricks_token)[\"']?\s{{0,4}}[:=]|\b(?:Bearer|Basic))\s{{0,4}}[\"']?\s*\\?\Z",
    re.IGNORECASE,
)
_MASK_AT_END = _Pattern(r"\[redacted\][\s\\]*\Z")
_FIRST_RUN = _Pattern(r"\A([\s|│>]{0,60})([A-Za-z0-9+/._~=%-]{8,8000})")
_DATE = _Pattern(r"\d{4}-\d\d-\d\d|\d\d[:.]\d\d")
_PEM_BEGIN = _Pattern(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----", re.IGNORECASE)
_PEM_END = _Pattern(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----", re.IGNORECASE)
_PEM_LINES = 200


def redact(text: str) -> str:
    """`text` with everything that has the shape of a secret masked whole, also where it is wrapped over lines."""
    if not _hinted(text):
        return text
    return _redact_lines(text, _Carry())


def _hinted(text: str) -> bool:
    low = text.lower()
    if len(low) > _LONG:
        return bool(_hint_finder().find_matches_as_indexes(low.encode("utf-8", "replace")))
    return any(hint in low for hint in _HINTS)


@cache
def _hint_finder() -> Any:
    """All hints in one pass: for long texts many times faster than one after the other."""
    from ahocorasick_rs import BytesAhoCorasick

    return BytesAhoCorasick([hint.encode() for hint in _HINTS])


def _redact_lines(text: str, carry: _Carry) -> str:
    pieces = _LINE_END.regex.split(text)
    for index in range(0, len(pieces), 2):
        pieces[index] = carry.line(pieces[index])
    return "".join(pieces)


class _Carry:
    """What one line says about the next: inside of a private key, or a secret that may go on there."""

    __slots__ = ("_awaited", "_hex", "_pem")

    def __init__(self) -> None:
        self._pem = 0
        self._awaited = False
        self._hex = False

    def line(self, text: str) -> str:
        if self._pem:
            return self._inside_key(text)
        if self._awaited:
            text = self._continued(text)
        elif not _hinted(text):
            return text
        self._awaited = self._hex = False
        # First what the line end may have cut: the shapes would mask a part of it and hide the rest.
        for cut in _CUTS:
            match = cut.regex.search(text[-9000:])
            if match is not None:
                self._awaited, self._hex = True, cut is _CUT_TOKEN
                text = text[: len(text) - len(match.group())] + _mask(match)
                break
        for shape in _SHAPES:
            text = shape.regex.sub(_mask, text)
        return self._look_ahead(text)

    def _inside_key(self, text: str) -> str:
        end = _PEM_END.regex.search(text)
        if end is not None:
            self._pem = 0
            return MASK + self.line(text[end.start() :])
        self._pem -= 1
        return MASK if text.strip() else text

    def _continued(self, text: str) -> str:
        match = _FIRST_RUN.regex.match(text)
        if match is None:
            # A run too short to tell anything about a secret ends it.
            self._awaited = self._awaited and not text.strip()
            return text
        run = match.group(2)
        mixed = run != run.lower() and run[1:] != run[1:].lower()
        random_looking = self._hex or mixed or (any(map(str.isdigit, run)) and any(map(str.isalpha, run)))
        if _DATE.regex.match(run) or not random_looking:
            self._awaited = False
            return text
        if self._hex and not re.fullmatch(r"[0-9a-fA-F-]+", run):
            self._awaited = False
            return text
        for shape in _SHAPES:
            own = shape.regex.match(text, match.start(2))
            if own is not None and own.end() >= match.end():
                return text  # it has a shape of its own: masked here, what belongs to it would not be known any more
        return f"{match.group(1)}{MASK}{text[match.end() :]}"

    def _look_ahead(self, text: str) -> str:
        begins = list(_PEM_BEGIN.regex.finditer(text))
        if begins and _PEM_END.regex.search(text, begins[-1].end()) is None:
            self._pem = _PEM_LINES
        elif _CUT_PREFIX.regex.search(text[-20:]):
            self._awaited = self._hex = True
        elif _MASK_AT_END.regex.search(text[-200:]) or _CUT_KEYED.regex.search(text[-300:]):
            self._awaited = True
        return text


def _mask(match: re.Match[str]) -> str:
    return (match.groupdict().get("keep") or "") + MASK


class Redactor:
    """`redact`, and every secret we hold replaced wherever it stands, also in pieces of eight characters."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._grams: set[str] = set()
        self._plain: list[re.Pattern[str]] = []
        self._automaton: Any = None
        # Answers are redacted on threads, and a new token comes while another one redacts.
        self._lock = threading.Lock()
        for secret in secrets:
            self.add(secret)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"

    def add(self, secret: str) -> None:
        """Never let `secret` through from now on; words shorter than eight characters would hit innocent text."""
        for form in (secret.strip(), quote(secret.strip(), safe="")):
            if len(form) >= 8:
                with self._lock:
                    self._add(form)

    def _add(self, form: str) -> None:
        if form in self._known:
            return
        self._known.add(form)
        if len(form) >= 20 and any(char.isdigit() for char in form) and any(char.isalpha() for char in form):
            self._grams |= {form[at : at + 8] for at in range(len(form) - 7)}
        else:
            # A password may be made of common words: only the whole of it is a secret.
            self._plain.append(re.compile(r"(?:\s|\\n?){0,4}".join(re.escape(char) for char in form)))
        self._automaton = None

    def redact(self, text: str) -> str:
        """`text` without any secret we hold, or anything that looks like one."""
        return redact(self._literal(text))

    def _literal(self, text: str) -> str:
        for pattern in self._plain:
            text = pattern.sub(MASK, text)
        if not self._grams or not text:
            return text
        with self._lock:
            if self._automaton is None:
                import ahocorasick_rs

                self._automaton = ahocorasick_rs.AhoCorasick(sorted(self._grams))
            automaton = self._automaton
        hits = automaton.find_matches_as_indexes(text, overlapping=True)
        if not hits:
            return text
        pieces, done, start, end = [], 0, hits[0][1], hits[0][2]
        for _, begin, stop in [*hits[1:], (0, len(text) + 1, 0)]:
            if begin <= end:
                end = max(end, stop)
                continue
            pieces += [text[done:start], MASK]
            done, start, end = end, begin, stop
        return "".join([*pieces, text[done:]])


class LineRedactor:
    """A redactor for lines that come one by one: remembers that a secret, or a private key, may go on in the next."""

    __slots__ = ("_carry", "_redactor")

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()
        self._carry = _Carry()

    def line(self, text: str) -> str:
        """The next line, without its line end."""
        return _redact_lines(self._redactor._literal(text), self._carry)
