"""The state of the simulated workspace: identity, clock, ids, files, jobs, pipelines, runs, updates, all resources.
It answers no request and knows no rule of a single API; the `api_*` modules do."""

from __future__ import annotations

import random
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from .filetree import FileTree
from .http import Json

WORKSPACE_ID = 900800700600
METASTORE_ID = "3f1c7a52-90e4-4d0b-8a6e-7c5b2f4d1e90"


class Clock:
    """Simulated time. `scale` is simulated seconds per real second; `advance` jumps; `freeze` stops it for tests."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._base_ms = time.time() * 1000
        self._mark = time.monotonic()
        self._frozen = False

    @property
    def scale(self) -> float:
        """Simulated seconds per real second."""
        return self._scale

    @property
    def frozen(self) -> bool:
        """Whether time moves by `advance` only."""
        return self._frozen

    def now_ms(self) -> int:
        """Now, in milliseconds since 1970, as the workspace sees it. Never goes back."""
        return int(self._exact())

    def _exact(self) -> float:
        if self._frozen:
            return self._base_ms
        return self._base_ms + (time.monotonic() - self._mark) * 1000 * self._scale

    def set_scale(self, scale: float) -> None:
        """Changes the speed from now on."""
        self._base_ms, self._mark = self._exact(), time.monotonic()
        self._scale = scale

    def freeze(self, frozen: bool = True) -> None:
        """Stops or restarts time where it is."""
        self._base_ms, self._mark = self._exact(), time.monotonic()
        self._frozen = frozen

    def advance(self, milliseconds: float) -> None:
        """Jumps forward."""
        self._base_ms += max(0.0, milliseconds)

    def real_seconds(self, milliseconds: float) -> float:
        """How long a simulated span lasts for the outside, in seconds."""
        return milliseconds / 1000 / self._scale if self._scale else 0.0


class Ids:
    """Ids of every shape, deterministic for a seed. With `big`, numeric ids lie above 2^53 (legal int64)."""

    def __init__(self, seed: int, *, big: bool = False) -> None:
        self._random = random.Random(seed)
        self._used: set[int] = set()
        self.big = big

    def number(self) -> int:
        """A fresh id of a job, run, repair or workspace object."""
        while True:
            low, high = (2**53 + 1, 2**63 - 1) if self.big else (10**13, 2**50)
            value = self._random.randrange(low, high)
            if value not in self._used:
                self._used.add(value)
                return value

    def uuid(self) -> str:
        """A fresh uuid (pipelines, updates, events, alerts)."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def hex(self, digits: int = 32) -> str:
        """A fresh id of hex digits (dashboards 32, warehouses 16)."""
        return f"{self._random.getrandbits(digits * 4):0{digits}x}"


@dataclass(slots=True)
class JobRecord:
    """One job. `settings` is what GET shows under `settings`, defaults filled in."""

    job_id: int
    settings: Json
    created_ms: int
    creator: str
    modified_ms: int = 0
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class PipelineRecord:
    """One pipeline. `spec` is what GET shows under `spec`; `state` is kept by the execution modules."""

    pipeline_id: str
    spec: Json
    created_ms: int
    creator: str
    modified_ms: int = 0
    state: str = "IDLE"
    health: str = ""
    update_ids: list[str] = field(default_factory=list)  # oldest first
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Identity:
    """Who the token belongs to."""

    user_name: str = "you@example.com"
    user_id: str = "4242424242424242"
    display_name: str = "You"


@dataclass(slots=True)
class Quirks:
    """Oddities that the control endpoint switches on; the run and update routes honour them.

    unknown_enums: emit states and codes that no client knows. shuffle_events: pipeline events out of order.
    late_events_ms: an event becomes visible this much after its timestamp. extra_keys: unknown keys in replies.
    output_limit: characters of an exit value or a log that get-output gives.
    """

    unknown_enums: bool = False
    shuffle_events: bool = False
    late_events_ms: int = 0
    output_limit: int = 5_000_000
    extra_keys: bool = False


class Store:
    """Everything the simulated workspace holds. One event loop reads and writes it: a handler that does not
    await between looking and changing needs no lock."""

    def __init__(
        self,
        *,
        scale: float = 1.0,
        seed: int = 20260824,
        big_ids: bool = False,
        token: str = "",
        scenario_name: str = "",
        user_name: str = "you@example.com",
    ) -> None:
        self.seed = seed
        self.big_ids = big_ids
        self.token = token or f"dapi{secrets.token_hex(16)}"
        self.host = ""
        """`http://127.0.0.1:PORT`, set when the server listens; run_page_url and others are built from it."""
        self.scenario_name = scenario_name
        self.scenario: Any = None
        """Owned by the execution modules: the loaded scenario, or None."""
        self.execution: Any = None
        """Owned by the execution modules: what drives runs and updates."""
        self.clock = Clock(scale)
        self.identity = Identity(user_name)
        self.token_expired = False
        self.quirks = Quirks()
        self.reset()

    def reset(self) -> None:
        """Empties the workspace; clock, token, host and identity stay."""
        self.ids = Ids(self.seed, big=self.big_ids)
        self.files = FileTree(self.clock.now_ms, self.ids.number)
        self.files.mkdirs(self.home)
        self.jobs: dict[int, JobRecord] = {}
        self.pipelines: dict[str, PipelineRecord] = {}
        self.runs: dict[int, Any] = {}
        self.updates: dict[str, Any] = {}
        self.permissions: dict[str, list[Json]] = {}
        """`jobs/123` -> access control list entries as GET shows them."""
        self.grants: dict[str, dict[str, list[str]]] = {}
        """`schema/main.sales` -> principal -> privileges."""
        self.tables: dict[str, Json] = {}
        """Full name -> table as unity-catalog shows it; runs and updates may add some."""
        self.kinds: dict[str, dict[str, Json]] = {}
        """Every other resource: kind (`schemas`, `dashboards`, ...) -> id -> record."""
        self.quirks = Quirks()

    @property
    def home(self) -> str:
        """The user's home folder."""
        return f"/Users/{self.identity.user_name}"

    def kind(self, name: str) -> dict[str, Json]:
        """The records of one kind of resource, by id."""
        return self.kinds.setdefault(name, {})

    def now_ms(self) -> int:
        """Simulated now in milliseconds since 1970."""
        return self.clock.now_ms()
