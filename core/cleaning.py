"""Switching the target or the profile: what was deployed at the place before is dealt with before anything else is.

Destroys only after a typed word, says that tables and schemas which jobs made stay, and forgets local state last.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from .acting import Acting
from .bundle import Bundle
from .bundle_load import load_bundle
from .cli_words import CliProblem
from .guard import Refused
from .identifying import Identifying
from .profiles import same_host
from .state import Identity, LoopView
from .truth import Truth
from .world import World

STAYS = "tables, schemas and files that jobs made stay: they are no part of the bundle"


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere the bundle was deployed to."""

    target: str
    profile: str
    host: str = ""

    def words(self) -> str:
        return f"{self.target or 'the default target'} on {self.host or 'a workspace'}"


class Cleaning:
    """Feeds `cleanup` of the State; while it says something, nothing is deployed."""

    def __init__(self, world: World, acting: Acting, identifying: Identifying, truth: Truth) -> None:
        self._world, self._acting = world, acting
        self._identifying, self._truth = identifying, truth
        self._before: Place | None = None
        self._kept: set[tuple[str, str]] = set()

    async def look(self) -> None:
        """What the journal says was deployed for this target somewhere else, and not destroyed since."""
        world = self._world
        here = world.state.identity
        if world.journal is None or not here.host:
            return
        for row in await world.journal.deployed():
            if row.target == here.target and not same_host(row.host, here.host) and not self._is_kept(row.host):
                kept = await world.journal.recall(f"kept:{row.host}:{row.target}")
                if not kept:
                    self._ask(Place(row.target, "", row.host))
                    return

    def _is_kept(self, host: str) -> bool:
        return (host, self._world.bundle.target) in self._kept

    def _ask(self, place: Place, inventory: tuple[str, ...] = ()) -> None:
        self._before = place
        things = f" ({', '.join(inventory[:8])}{', ...' if len(inventory) > 8 else ''})" if inventory else ""
        text = f"the bundle is deployed to {place.words()}{things}: destroy that, or keep it, before deploying here"
        self._world.store.set(cleanup=f"{text}; {STAYS}", cleanup_word=place.target or self._world.bundle.name)

    async def switch(self, target: str, profile: str) -> None:
        """Point everything at another target or profile; nothing is asked of the new place before that is settled."""
        world = self._world
        before, old = world.bundle, world.state.identity
        bundle = await asyncio.to_thread(load_bundle, world.root, target, world.env)
        if target and bundle.target != target:
            names = ", ".join(entry.name for entry in bundle.targets) or "none"
            raise Refused(f"there is no target {target}; there are {names}", exit_code=2)
        deployed = _inventory(before) if await self._was_deployed(old) else ()
        world.target, world.profile = target, profile
        world.store.set(
            bundle=bundle,
            identity=Identity(target=bundle.target),
            statuses={},
            run=None,
            update=None,
            events=(),
            child_runs={},
            iterations={},
            past_runs={},
            past_updates={},
            cleanup="",
            loop=LoopView(),
        )
        await self._identifying.decide()
        if world.guard.production() and not world.config.auto_in_production:
            world.store.set(auto=False)
        here = world.state.identity
        moved = not same_host(here.host, old.host) if here.host and old.host else here.profile != old.profile
        if deployed and (before.target != bundle.target or moved):
            self._ask(Place(before.target, old.profile, old.host), deployed)

    async def _was_deployed(self, old: Identity) -> bool:
        if self._acting.source is not None:
            return True
        journal = self._world.journal
        rows = await journal.deployed() if journal is not None else ()
        return any(row.target == old.target and same_host(row.host, old.host) for row in rows)

    async def clean_up(self, *, confirmed: str) -> None:
        """Destroy what is deployed at the place before, forget its local state, and come back. Raises Refused."""
        world, place = self._world, self._before
        if place is None:
            raise Refused("there is nothing to clean up")
        word = place.target or world.bundle.name
        if confirmed != word:
            raise Refused(f"type {word!r} to destroy what is deployed to {place.words()}", flag=f"--confirm {word}")
        target, profile, here = world.target, world.profile, world.bundle
        try:
            await self._go(place.target, place.profile)
            identity = await self._identifying.resolve()
            if place.host and not same_host(identity.host, place.host):
                raise Refused(f"{place.target} leads to {identity.host} now, not to {place.host}: destroy it by hand")
            result = await self._acting.destroy(confirmed=confirmed)
            if result.outcome != "ok":
                raise Refused(f"not destroyed: {result.blocked_reason or result.summary}")
            await self._forget_state(place.target, confirmed)
        except CliProblem as problem:
            raise Refused(problem.summary) from problem
        finally:
            await self._go(target or here.target, profile)
        self._before = None
        world.store.set(cleanup="")

    async def _go(self, target: str, profile: str) -> None:
        world = self._world
        bundle = await asyncio.to_thread(load_bundle, world.root, target, world.env)
        world.target, world.profile = target, profile
        world.store.set(bundle=bundle, identity=Identity(target=bundle.target))
        await self._identifying.decide()

    async def _forget_state(self, target: str, confirmed: str) -> None:
        """Remove the local deployment state of a target whose remote one is gone."""
        world = self._world
        folder = world.root / ".databricks" / "bundle" / target
        if not target or not folder.is_dir():
            return
        act = world.guard.act("clear_state", target, target=target)
        permit = await world.guard.permit(act, confirmed=confirmed)
        files = [path for path in await asyncio.to_thread(_files_of, folder) if path.is_file()]
        for path in files:
            world.guard.check_write(path, world.root, permit)
        permit.consume()
        for path in files:
            path.unlink(missing_ok=True)
        await permit.ended("done", files=len(files))

    async def keep(self) -> None:
        """Leave what is deployed there as it is; it is not asked about again."""
        world, place = self._world, self._before
        if place is not None:
            self._kept.add((place.host, place.target))
            if world.journal is not None:
                await world.journal.remember(f"kept:{place.host}:{place.target}", {"kept": True})
        self._before = None
        world.store.set(cleanup="")


def _inventory(bundle: Bundle) -> tuple[str, ...]:
    """What is deployed, by `bundle summary`; where that has not answered yet, what the YAML declares."""
    deployed = tuple(resource.ref for resource in bundle.resources if resource.id)
    return deployed or tuple(resource.ref for resource in bundle.resources)


def _files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_symlink()]
