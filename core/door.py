"""The one door to a workspace: every request passes the guard, the budget, a bounded number of threads, and goes once.

Never repeats a request, never waits for a socket on the event loop, and never lets a token out by an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from . import api_errors
from .api_errors import WorkspaceError
from .guard import Guard, Permit
from .redaction import Redactor
from .transport import Abandoned, Answer, Call, Transport

T = TypeVar("T")

SIGN_IN_SECONDS = 45.0  # importing the SDK, what its Config asks the host, and `databricks auth token`


class Budget(Protocol):
    """What paces the requests of all parts of the engine."""

    async def take(self) -> None: ...


class Signer(Protocol):
    """Somebody signed in. Blocks."""

    def headers(self) -> dict[str, str]:
        """What a request is signed with now. Raises where no token can be had."""
        ...


class Door:
    """Requests to one host, signed by what `sign_in` makes on a thread at the first of them.

    At most `threads` requests are under way at once, each for `seconds` at most; one whose caller went away gives its
    thread back.
    """

    def __init__(
        self,
        host: str,
        sign_in: Callable[[], Signer],
        *,
        guard: Guard,
        redactor: Redactor,
        budget: Budget | None,
        threads: int,
        seconds: float,
    ) -> None:
        self.host = host.rstrip("/")
        self.name = self.host.partition("://")[2] or self.host
        self.redactor = redactor
        self._open = sign_in
        self._guard = guard
        self._budget = budget
        self._threads = threads
        self._seconds = seconds
        self._slots = asyncio.Semaphore(threads)
        self._signer: Signer | None = None
        self._signing: asyncio.Future[Signer | WorkspaceError] | None = None
        self._transport: Transport | None = None
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._closed = False

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        permit: Permit | None = None,
        then: Callable[[dict[str, Any]], Any] = lambda answer: answer,
        wait: float = 0.0,
    ) -> Any:
        """One request. Raises WorkspaceError, guard.Refused.

        `then` makes the model out of the answer, on the thread; `wait` is how long the workspace may keep silent.
        """
        if not path.startswith("/api/") or ".." in path or any(char in path for char in "?#\\ \t\r\n"):
            raise WorkspaceError("refused", f"{api_errors.sentence(path, self.redactor)} is no path of the API")
        call = Call(method.upper(), path, _query(query), body, changes=permit is not None, seconds=self._seconds)
        if wait:
            call.quiet = wait + call.quiet
            call.seconds = max(call.seconds, call.quiet)
        if self._budget is not None and not self._closed:
            await self._budget.take()
        signer = await self._sign_in()
        await self._slots.acquire()
        try:
            if self._closed:
                raise WorkspaceError("refused", "the connection to the workspace was closed")
            if permit is not None:
                permit.consume()
            self._guard.check_http(call.method, path, permit, host=self.host)
        except BaseException:
            self._slots.release()
            raise
        future = self.start(lambda: self._exchange(signer, call, then), self._slots.release)
        self._calls.add(call)
        try:
            await asyncio.wait({future}, timeout=call.seconds)
        except asyncio.CancelledError:
            call.abandon()
            raise
        finally:
            self._calls.discard(call)
        if not future.done():
            sent = call.abandon()
            why = f"{self.name} does not answer within {call.seconds:.0f} s"
            raise WorkspaceError("unreachable", why, unknown=call.changes and sent)
        result = future.result()
        if isinstance(result, WorkspaceError):
            if result.kind == "signed_out" and self._signer is signer:
                # The next call reads the sign-in afresh: a person may have signed in again elsewhere.
                self._signer = None
            raise result
        return result

    def _exchange(self, signer: Signer, call: Call, then: Callable[[dict[str, Any]], Any]) -> Any:
        """On a thread: the model, or the WorkspaceError. Returned and not raised, so that no traceback of it holds
        the frames in which the token was."""
        try:
            headers = signer.headers()
        except Exception as error:
            return self._no_sign_in(error)
        # Not only those of the options: the SDK fetches tokens that last an hour.
        self.redactor.add(headers.get("Authorization", "").rpartition(" ")[2])
        try:
            answer = self._connections().send(call, headers)
        except Abandoned:
            return WorkspaceError("unreachable", "the request was given up")
        except Exception as error:
            if call.abandoned:
                return WorkspaceError("unreachable", "the request was given up", unknown=call.changes)
            return api_errors.of_failure(error, self.host, min(call.quiet, call.seconds), changes=call.changes)
        found = self._object(answer, call)
        return found if isinstance(found, WorkspaceError) else then(found)

    def _object(self, answer: Answer, call: Call) -> dict[str, Any] | WorkspaceError:
        status, body, redactor = answer.status, answer.body, self.redactor
        if not 200 <= status < 300:
            return api_errors.of_answer(status, answer.headers, body, redactor, changes=call.changes)
        if answer.too_long:
            why = "with more than can be read"
        else:
            try:
                found = json.loads(body)
            except (ValueError, RecursionError):
                why = "with nothing" if not body.strip() else "with what is no JSON, or half of it"
            else:
                if isinstance(found, dict):
                    return found
                why = "with JSON of another shape"
        return api_errors.of_body(status, body, why, redactor, changes=call.changes)

    # --- signing in --------------------------------------------------------------------------------------------------

    async def _sign_in(self) -> Signer:
        if self._closed:
            raise WorkspaceError("refused", "the connection to the workspace was closed")
        if self._signer is not None:
            return self._signer
        # One attempt for all who wait; one that takes too long goes on for whoever asks next.
        signing = self._signing = self._signing or self.start(self._try_sign_in)
        await asyncio.wait({signing}, timeout=SIGN_IN_SECONDS)
        if not signing.done():
            raise WorkspaceError("unreachable", f"signing in to {self.name} takes too long")
        if self._signing is signing:
            self._signing = None
        result = signing.result()
        if isinstance(result, WorkspaceError):
            raise WorkspaceError(result.kind, result.message, status=result.status)
        self._signer = result
        return result

    def _try_sign_in(self) -> Signer | WorkspaceError:
        try:
            return self._open()
        except Exception as error:
            return self._no_sign_in(error)

    def _no_sign_in(self, error: Exception) -> WorkspaceError:
        """The error where no token can be had: nobody is signed in, or who gives the token cannot be reached."""
        if type(error).__module__.startswith(("requests", "urllib3")) or isinstance(error, TimeoutError):
            return api_errors.of_failure(error, self.host, 10.0)
        # The SDK adds the settings it used; the masked secret among them helps nobody.
        said = str(error).partition(" Config: ")[0].partition(" Env: ")[0] or type(error).__name__
        return WorkspaceError("signed_out", f"not signed in: {api_errors.sentence(said, self.redactor)}")

    def _connections(self) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = Transport(self.host, connections=self._threads)
            return self._transport

    # --- threads -----------------------------------------------------------------------------------------------------

    def start(self, work: Callable[[], T], ended: Callable[[], object] = lambda: None) -> asyncio.Future[T]:
        """Run `work` on a thread of its own; `ended` is called when the thread is free again, whoever still waits.

        A daemon, unlike the threads of a ThreadPoolExecutor: a socket that hangs must not keep the program from ending.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            ended()
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def body() -> None:
            result: T | None = None
            caught: BaseException | None = None
            try:
                result = work()
            except BaseException as error:
                caught = error
            # The loop may be gone: then nobody waits either.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, caught)

        threading.Thread(target=body, daemon=True, name="dbops-workspace").start()
        return future

    def close(self) -> None:
        """No more requests; those under way are given up, and none is waited for."""
        self._closed = True
        self._signer = None
        for call in self._calls:
            call.abandon()
        if self._transport is not None:
            self._transport.close()


def _query(query: Mapping[str, object] | None) -> dict[str, str]:
    """Values as the API writes them; None is left out."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
