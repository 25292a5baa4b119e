"""In charge of the contestants: installing, starting, and comparing what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import orjson

from gateway.auth.tokens import TokenKeys
from resolvers.operations.compile import OperationCompiler
from servers import Server, ServerError, running
from work import (
    CASES,
    DOCUMENTS,
    HERE,
    Case,
    LimitWords,
    OwnWords,
    PostGraphileWords,
    Words,
    bodies,
    walk,
)

TITLES = {
    "gateway": "the gateway",
    "limit": "the limit (bare handler, same SQL)",
    "postgraphile": "PostGraphile 5",
    "mercurius": "Mercurius, JIT and loaders",
    "dataloaders": "Strawberry with DataLoaders",
}

_INSTALL = 600.0
"""Seconds that the peers may take to install."""
_PRODUCTION = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server, and its words."""

    name: str
    server: Server
    words: Words
    cursors: Sequence[str]

    def bodies(self, case: Case) -> list[bytes]:
        """The requests of a case."""
        return bodies(case, self.words, self.cursors)


@dataclass(slots=True)
class Field:
    """Who takes part, and why others do not."""

    contestants: list[Contestant] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def drop(self, name: str, reason: object) -> None:
        """Leave a contestant out, and say why."""
        self.contestants = [known for known in self.contestants if known.name != name]
        self.missing[name] = str(reason)


@contextlib.asynccontextmanager
async def gateway(
    url: str, folder: Path, *arguments: str, largest_page: int = 200
) -> AsyncIterator[Server]:
    """The gateway as its command starts it, with a token of an admin."""
    secret = secrets.token_hex(32)
    # 1 is the admin: the first profile of the first migration.
    token = TokenKeys(secret).issue(1, "admin", timedelta(days=1))
    program = Path(sys.executable).with_name("process-gateway")
    settings = {
        "GATEWAY_TOKEN_SECRET": secret,
        "GATEWAY_PAGE_SIZE_MAX": str(largest_page),
        "GATEWAY_LOG_LEVEL": "warning",
    }
    async with running(
        [
            program,
            "serve",
            "--port",
            "{port}",
            "--database-url",
            url,
            "--data-dir",
            folder,
            *arguments,
        ],
        environment=settings,
        path="/graphql",
        token=token,
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def the_field(
    url: str, folder: Path, count: int, compiler: OperationCompiler
) -> AsyncIterator[Field]:
    """Everybody who can be started, on a database of ``count`` processes.

    A peer that cannot be installed or started, or that answers something else than the gateway, is
    missing; without the gateway or the limit there is no benchmark.
    """
    found = Field()
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(gateway(url, folder / "gateway"))
        cursors = walk(own, DOCUMENTS, "processes", count)
        limit = LimitWords(compiler)
        statements = folder / "statements.json"
        statements.write_bytes(orjson.dumps(limit.statements()))
        script: list[str | Path] = [sys.executable, HERE / "limit.py", "{port}", url, statements]
        bare = await stack.enter_async_context(running(script))
        found.contestants = [
            Contestant("gateway", own, OwnWords(), cursors),
            Contestant("limit", bare, limit, cursors),
        ]
        await _start_peers(stack, found, url, folder, cursors, count)
        for peer in found.contestants[1:]:
            wrong = _difference(found.contestants[0], peer)
            if wrong is not None:
                found.drop(peer.name, wrong)
        if "limit" in found.missing:
            raise ServerError(f"the limit: {found.missing['limit']}")
        yield found


async def _start_peers(
    stack: AsyncExitStack, found: Field, url: str, folder: Path, cursors: list[str], count: int
) -> None:
    commands: dict[str, list[str | Path]] = {
        "dataloaders": [sys.executable, HERE / "dataloaders.py", "{port}", url]
    }
    try:
        node = await _install(folder / "peers", found.versions)
    except (OSError, TimeoutError, ServerError) as error:
        found.missing |= dict.fromkeys(("postgraphile", "mercurius"), f"not installed: {error}")
    else:
        for name in ("postgraphile", "mercurius"):
            commands[name] = [node, folder / "peers" / f"{name}.mjs", "{port}", url]
    for name in TITLES:  # in their order
        if name not in commands:
            continue
        try:
            server = await stack.enter_async_context(
                running(commands[name], environment=_PRODUCTION)
            )
            words: Words = OwnWords()
            if name == "postgraphile":
                theirs = walk(server, PostGraphileWords.documents, "allProcesses", count)
                words = PostGraphileWords(dict(zip(cursors, theirs, strict=True)))
        except (OSError, ServerError) as error:
            found.missing[name] = str(error)
        else:
            found.contestants.append(Contestant(name, server, words, cursors))


async def _install(folder: Path, versions: dict[str, str]) -> Path:
    """Install the peers of Node into ``folder``, unless they are there; returns its node."""
    shutil.copytree(HERE / "peers", folder, dirs_exist_ok=True)
    node = folder / "node_modules" / "node" / "bin" / "node"
    if not node.exists():
        flags = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        await _output("npm", "install", "--prefix", folder, *flags)
    versions["node"] = (await _output(node, "--version")).strip().removeprefix("v")
    for name in ("postgraphile", "mercurius", "fastify", "graphql-jit", "pg"):
        package = folder / "node_modules" / name / "package.json"
        versions[name] = orjson.loads(package.read_bytes())["version"]
    return node


async def _output(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _INSTALL)
    except TimeoutError:
        process.kill()
        raise
    if process.returncode:
        raise ServerError(f"{Path(command[0]).name} failed: {said.decode()[-300:]}")
    return said.decode()


def _difference(own: Contestant, peer: Contestant) -> str | None:
    """Where a peer answers something else than the gateway; None if nowhere."""
    for case in CASES:
        pairs = list(zip(own.bodies(case), peer.bodies(case), strict=True))
        for ours, theirs in pairs[:: len(pairs) - 1]:  # the first and the last
            try:
                expected, answer = own.server.ask(ours), peer.server.ask(theirs)
            except ServerError as error:
                return f"{case.title}: {error}"
            same = (
                expected == answer
                if peer.name == "limit"
                else own.words.read(expected) == peer.words.read(answer)
            )
            if not same:
                return f"{case.title}: answers something else than the gateway"
    return None
