"""Pipeline updates over HTTP: start, list, get, stop, and the events with their filters and pages.
It decides nothing about how an update goes; updateengine.py does."""

from __future__ import annotations

import random
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .eventlog import Filter, make_token, parse_filter, read_token
from .http import ApiError, Json, invalid, json_body, not_found, offset_of, query_int, respond, route, token_for
from .store import Store
from .updateengine import UpdateEngine

BOTH = "You can provide a page token or specify {}, but not both."
FLAGS = ("full_refresh", "validate_only", "development")
SELECTIONS = ("refresh_selection", "full_refresh_selection", "reset_checkpoint_selection")


def routes(store: Store) -> list[Route]:
    """The routes of updates and events."""
    api = UpdatesApi(store)
    base = "/api/2.0/pipelines/{pipeline_id}"
    table = [
        ("GET", f"{base}/updates", api.list_updates),
        ("POST", f"{base}/updates", api.start),
        ("GET", f"{base}/updates/{{update_id}}", api.get),
        ("GET", f"{base}/events", api.events),
        ("POST", f"{base}/stop", api.stop),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class UpdatesApi:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def engine(self) -> UpdateEngine:
        engine: UpdateEngine = self.store.execution.updates
        return engine

    def _pipeline(self, request: Request) -> str:
        pipeline_id: str = request.path_params["pipeline_id"]
        self.engine.record(pipeline_id)
        self.store.execution.settle()
        return pipeline_id

    async def start(self, request: Request) -> Response:
        pipeline_id = self._pipeline(request)
        body = await json_body(request)
        options: Json = {"cause": str(body.get("cause") or "API_CALL")}
        for name in FLAGS:
            if body.get(name) is not None and not isinstance(body[name], bool):
                raise invalid(f"Could not parse request object: Expected 'boolean' for {name}")
            if name in body and body[name] is not None:
                options[name] = body[name]
        for name in SELECTIONS:
            value = body.get(name) or []
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: Expected 'Array' for {name}")
            if value:
                options[name] = value
        if isinstance(body.get("parameters"), dict):
            options["parameters"] = body["parameters"]
        update = self.engine.start(pipeline_id, options, self.store.now_ms())
        return respond({"update_id": update.update_id})

    async def list_updates(self, request: Request) -> Response:
        pipeline_id = self._pipeline(request)
        size = query_int(request, "max_results", 25, low=1, high=100)
        offset = offset_of(request.query_params.get("page_token"), "updates")
        until = request.query_params.get("until_update_id", "")
        found = list(islice(self.engine.shapes(pipeline_id, self.store.now_ms()), offset, offset + size + 1))
        if until:
            found = found[: next((i + 1 for i, item in enumerate(found) if item["update_id"] == until), len(found))]
        answer: Json = {"updates": found[:size]} if found else {}
        if len(found) > size:
            answer["next_page_token"] = token_for(offset + size, "updates")
        if offset:
            answer["prev_page_token"] = token_for(max(0, offset - size), "updates")
        return respond(answer)

    async def get(self, request: Request) -> Response:
        pipeline_id = self._pipeline(request)
        update_id = request.path_params["update_id"]
        update = self.engine.all.get(update_id)
        if update is not None and update.pipeline_id == pipeline_id:
            shape = {**self.engine.shape(update, self.store.now_ms()), "config": update.spec}
            return respond({"update": shape})
        past = self.engine.log(pipeline_id).seeded
        index = past.index_of(update_id)
        if index is not None:
            total = sum(1 for _ in past.updates())
            return respond({"update": next(islice(past.updates(), total - 1 - index, None))})
        raise not_found(f"The specified update {update_id} was not found.")

    async def stop(self, request: Request) -> Response:
        pipeline_id = self._pipeline(request)
        self.engine.stop(pipeline_id, self.store.now_ms())
        return respond({})

    async def events(self, request: Request) -> Response:
        pipeline_id = self._pipeline(request)
        query = request.query_params
        size = query_int(request, "max_results", 25, low=1, high=1000)
        token = query.get("page_token")
        after = None
        if token:
            if query.get("order_by"):
                raise invalid(BOTH.format("an ordering"))
            if query.get("filter"):
                raise invalid(BOTH.format("a filter"))
            chosen, newest, after = read_token(token)
        else:
            chosen, newest = parse_filter(query.get("filter", "")), _newest(query.getlist("order_by"))
        found, last = self.engine.log(pipeline_id).read(
            chosen,
            self.store.now_ms(),
            size,
            newest=newest,
            after=after,
            late_ms=self.store.quirks.late_events_ms,
        )
        answer: Json = {"events": self._with_quirks(found, chosen)} if found else {}
        if last is not None:
            answer["next_page_token"] = make_token(chosen, newest, last)
        if token:
            answer["prev_page_token"] = token
        return respond(answer)

    def _with_quirks(self, events: list[Json], chosen: Filter) -> list[Json]:
        quirks = self.store.quirks
        if quirks.shuffle_events:
            events = list(events)
            random.Random(len(events)).shuffle(events)
        if quirks.extra_keys:
            events = [{**event, "future_field": [None, {"deep": 1}]} for event in events]
        if quirks.unknown_enums and "level" not in chosen.text:
            events = [
                {**event, "level": "NOTICE", "event_type": "quantum_progress"} if number % 7 == 3 else event
                for number, event in enumerate(events)
            ]
        return events


def _newest(order: list[str]) -> bool:
    words = {" ".join(item.lower().split()) for text in order for item in text.split(",") if item.strip()}
    if not words or words == {"timestamp desc"}:
        return True
    if words in ({"timestamp asc"}, {"timestamp"}):
        return False
    raise invalid(
        f"Invalid order_by: {', '.join(sorted(words))[:100]}. Only 'timestamp asc' and 'timestamp desc' are allowed."
    )
