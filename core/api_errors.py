"""What went wrong with one request to a workspace, in one sentence and one of a few kinds that the engine can act on.

Never holds a token, a header or a body, and never takes what could not be measured for a failure of what is watched.
"""

from __future__ import annotations

import html
import json
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import responses
from typing import Any, Literal

from .redaction import Redactor
from .text import clean, clip

Kind = Literal["signed_out", "forbidden", "not_found", "throttled", "unreachable", "server", "bad_answer", "refused"]
_UNMEASURED = frozenset({"signed_out", "throttled", "unreachable", "server", "bad_answer"})
_SENTENCE = 500
_LONGEST_WAIT = 86_400.0

_GONE_CODES = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND", "FEATURE_NOT_FOUND"})
_THROTTLED_CODES = frozenset({"REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
# The API says 400 for runs and clusters that are gone (databricks-sdk 0.156, errors/overrides.py).
_GONE_TEXT = re.compile(r"\b(?:Run|Job|Cluster|Pipeline|Update|Statement)\b.{0,120}\bdoes not exist\b", re.IGNORECASE)
_TOKEN_TEXT = re.compile(
    r"\b(?:invalid|expired|revoked|missing)\s(?:\w+\s)?token\b|\btoken\b.{0,40}\b(?:invalid|expired|revoked)\b"
    r"|\bcredential was not sent\b",
    re.IGNORECASE,
)
_TITLE = re.compile(rb"<(title|pre|h1)[^>]{0,200}>(.{1,400}?)</\1>", re.IGNORECASE | re.DOTALL)


class WorkspaceError(Exception):
    """A request that brought no answer to go by.

    `message` is one clean, redacted sentence; `status` the HTTP status, 0 where none came; `retry_after` seconds that
    the workspace asks us to wait. `unknown`: a call that changes something may have arrived, and must not be repeated
    before somebody looked.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int = 0,
        error_code: str = "",
        retry_after: float | None = None,
        unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.status = status
        self.error_code = error_code
        self.retry_after = retry_after
        self.unknown = unknown

    def __repr__(self) -> str:
        return f"WorkspaceError({self.kind!r}, {self.message!r}, status={self.status}, unknown={self.unknown})"

    @property
    def unmeasured(self) -> bool:
        """Whether it says nothing about what was asked: that may be as well as before."""
        return self.kind in _UNMEASURED


def of_answer(
    status: int, headers: Mapping[str, str], body: bytes, redactor: Redactor, *, changes: bool = False
) -> WorkspaceError:
    """The error of an answer that is none of 2xx. `changes`: the request was to change something."""
    code, said = _told(body)
    kind = _kind(status, code, said)
    if not said:
        said = f"the workspace answered {status} ({responses.get(status, 'no known status')})"
        if 300 <= status < 400:
            said += ": it sends us elsewhere, which is never followed"
    return WorkspaceError(
        kind,
        sentence(said, redactor),
        status=status,
        error_code=sentence(code, redactor)[:100],
        retry_after=_retry_after(headers.get("Retry-After", "")),
        # What a gateway answers says nothing about what stands behind it.
        unknown=changes and (status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT),
    )


def of_body(status: int, body: bytes, why: str, redactor: Redactor, *, changes: bool = False) -> WorkspaceError:
    """The error of an answer that says 2xx and is none: no JSON, half of it, or another shape."""
    title = _page_title(body)
    said = f"the workspace answered {why}" + (f" ({title})" if title else "")
    return WorkspaceError("bad_answer", sentence(said, redactor), status=status, unknown=changes)


def of_failure(error: BaseException, host: str, seconds: float, *, changes: bool = False) -> WorkspaceError:
    """The error of a request that broke on its way. Nothing of the exception's own text is taken over: it can hold
    the address with its query, and headers."""
    name = host.partition("://")[2] or host
    links = _links(error)
    names = {type(link).__name__ for link in links}

    def unreachable(said: str, *, arrived: bool = False) -> WorkspaceError:
        return WorkspaceError("unreachable", said, unknown=changes and arrived)

    if any(isinstance(link, socket.gaierror) for link in links) or "NameResolutionError" in names:
        return unreachable(f"there is no host {name}")
    certificate = next((link for link in links if isinstance(link, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        return unreachable(
            f"the certificate of {name} is not trusted: {clean(certificate.verify_message or 'unknown')}"
        )
    if "ProxyError" in names:
        return unreachable(f"the proxy does not let us through to {name}")
    if any(isinstance(link, ConnectionRefusedError) for link in links):
        return unreachable(f"{name} cannot be connected to: connection refused")
    if names & {"ConnectTimeout", "ConnectTimeoutError"}:
        return unreachable(f"{name} does not answer within {seconds:.0f} s")
    if "NewConnectionError" in names:
        reason = next((link.strerror for link in links if isinstance(link, OSError) and link.strerror), "")
        return unreachable(f"{name} cannot be connected to: {clean(reason).lower() or 'no reason given'}")
    if names & {"InvalidURL", "InvalidSchema", "MissingSchema", "LocationParseError"}:
        return unreachable(f"{clip(clean(name), 200)} is no address")
    if names & {"ReadTimeout", "ReadTimeoutError", "TimeoutError"}:
        return unreachable(f"{name} does not answer within {seconds:.0f} s", arrived=True)
    if "DecodeError" in names or "ContentDecodingError" in names:
        return WorkspaceError("bad_answer", f"what {name} answered cannot be unpacked", unknown=changes)
    if names & {"InvalidHeader", "UnicodeEncodeError", "InvalidJSONError"}:
        return WorkspaceError("refused", "the request cannot be sent: a value in it is no text for HTTP")
    return unreachable(f"the connection to {name} broke ({type(error).__name__})", arrived=True)


def sentence(said: str, redactor: Redactor) -> str:
    """One line, clean and redacted, of what somebody else said."""
    line = " ".join(redactor.redact(clean(said[:20_000])).split())
    return clip(line, _SENTENCE).replace("\n", " ")


def _kind(status: int, code: str, said: str) -> Kind:
    if status == HTTPStatus.UNAUTHORIZED:
        return "signed_out"
    if status == HTTPStatus.FORBIDDEN:
        return "signed_out" if _TOKEN_TEXT.search(said) else "forbidden"
    if status == HTTPStatus.TOO_MANY_REQUESTS or (400 <= status < 500 and code in _THROTTLED_CODES):
        return "throttled"
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE) or code in _GONE_CODES:
        return "not_found"
    if status == HTTPStatus.BAD_REQUEST and _GONE_TEXT.search(said):
        return "not_found"
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return "server"
    return "refused" if status >= 400 else "bad_answer"


def _told(body: bytes) -> tuple[str, str]:
    """(error_code, message) of an error's body, in the shapes that occur: API, SCIM, bare text in JSON, a page."""
    try:
        told: Any = json.loads(body) if body else None
    except (ValueError, RecursionError):
        title = _page_title(body)
        return "", f"the workspace answered with a page: {title}" if title else ""
    if not isinstance(told, dict):
        return "", ""
    code, said = told.get("error_code"), told.get("message") or told.get("detail") or told.get("error")
    if isinstance(said, dict):
        said = said.get("message")
    return _plain(code), _plain(said)


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _page_title(body: bytes) -> str:
    found = _TITLE.search(body[:20_000])
    return html.unescape(found.group(2).decode("utf-8", "replace")).strip() if found else ""


def _retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3: whole seconds or a date); None where it makes no sense."""
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return min(_LONGEST_WAIT, float(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    left = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(_LONGEST_WAIT, max(0.0, left.total_seconds()))


def _links(error: BaseException) -> list[BaseException]:
    """The exception and what it was made of: causes, and those that `requests` and urllib3 hand on as arguments."""
    found: list[BaseException] = []
    ahead: list[object] = [error]
    while ahead and len(found) < 50:
        link = ahead.pop(0)
        if isinstance(link, BaseException) and not any(link is known for known in found):
            found.append(link)
            ahead += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return found
