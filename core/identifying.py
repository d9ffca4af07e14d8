"""Finds out who acts where before anything is done there: the place decided from bundle, profile and environment.

Then asks the workspace who we are. Never picks one of several profiles, and never goes on where host or user changed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from . import identity as places
from .guard import PROFILE, Refused
from .profiles import SECRET_KEYS, read_profiles
from .state import Identity
from .workspace import Workspace, WorkspaceError
from .world import World


class Identifying:
    """`decide` reads this machine only; `resolve` asks the workspace; `confirm` looks again before an act."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._turn = asyncio.Lock()
        self._options: dict[str, str] = {}

    async def decide(self) -> Identity:
        """Host and profile of the bundle's target into the State, without the network; keeps a user known already."""
        world = self._world
        found = await asyncio.to_thread(self._decide)
        held = world.state.identity
        same = (held.host, held.profile, held.target) == (found.host, found.profile, found.target)
        if same and held.user and not found.problem:
            found = replace(found, user=held.user, mode=found.mode or held.mode)
        world.store.set(identity=found)
        await self._open(found)
        return found

    def _decide(self) -> Identity:
        world = self._world
        profiles = read_profiles(world.env)
        for secret in profiles.secrets:
            world.redactor.add(secret)
        return places.resolve(world.bundle, world.profile, world.env, profiles=profiles)

    async def _open(self, identity: Identity) -> None:
        """Point the CLI and the workspace client at `identity`; a client of another place is closed."""
        world = self._world
        env = places.auth_env(identity, world.env)
        world.cli.use(env=env, target=world.bundle.target, profile=identity.profile, host=identity.host)
        if identity.problem or not identity.host:
            await self._close()
            return
        options = await asyncio.to_thread(places.client_options, identity, world.env)
        if world.workspace is not None and options == self._options:
            return
        await self._close()
        self._options = options
        for name in SECRET_KEYS:
            if options.get(name):
                world.redactor.add(options[name])
        world.workspace = Workspace(
            identity.host, options, guard=world.guard, redactor=world.redactor, budget=world.budget
        )

    async def _close(self) -> None:
        held, self._world.workspace = self._world.workspace, None
        self._options = {}
        if held is not None:
            await held.close()

    async def resolve(self) -> Identity:
        """Who we are at the workspace that was decided on. Raises Refused (nobody can be), WorkspaceError."""
        async with self._turn:
            world = self._world
            found = await self.decide()
            if found.problem:
                raise Refused(found.problem, exit_code=3, flag=places.flag(found))
            user = await world.open_workspace().me()
            if not user:
                raise WorkspaceError("bad_answer", "the workspace does not say who we are")
            now = replace(world.state.identity, user=user)
            world.store.set(identity=now, signed_out=False)
            return now

    async def confirm(self) -> None:
        """Look again at what decides who acts where, just before something is changed. Raises Refused."""
        before = self._world.state.identity
        if not before.resolved:
            return
        now = await asyncio.to_thread(self._decide)
        problem = now.problem or places.changed(before, replace(now, user=before.user))
        if problem or now.profile != before.profile:
            problem = problem or f"the profile changed from {before.profile or 'none'} to {now.profile or 'none'}"
            self._world.store.set(identity=now)
            raise Refused(f"{problem}: look again before anything is changed", exit_code=3, flag=PROFILE)

    async def close(self) -> None:
        """Close the client."""
        await self._close()
