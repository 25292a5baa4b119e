"""Install and start the contestants, and compare their responses."""

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
    Adapter,
    Case,
    GatewayAdapter,
    LimitAdapter,
    PostGraphileAdapter,
    collect_cursors,
    request_bodies,
)

TITLES = {
    "gateway": "the gateway",
    "limit": "the limit (bare handler, same SQL)",
    "postgraphile": "PostGraphile 5",
    "mercurius": "Mercurius, JIT and loaders",
    "dataloaders": "Strawberry with DataLoaders",
}

_INSTALL_TIMEOUT = 600.0
"""The seconds that the installation of the peers may take."""
_PRODUCTION = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server and the adapter of its requests and responses."""

    name: str
    server: Server
    adapter: Adapter
    cursors: Sequence[str]

    def bodies(self, case: Case) -> list[bytes]:
        """Return the request bodies of a case."""
        return request_bodies(case, self.adapter, self.cursors)


@dataclass(slots=True)
class Contestants:
    """The contestants that take part, and the reasons why others do not."""

    running: list[Contestant] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def drop(self, name: str, reason: object) -> None:
        """Exclude a contestant, and record the reason."""
        self.running = [other for other in self.running if other.name != name]
        self.missing[name] = str(reason)


@contextlib.asynccontextmanager
async def gateway(
    url: str,
    folder: Path,
    *arguments: str,
    largest_page: int = 200,
    keeps_answers: bool = False,
    script: Path | None = None,
) -> AsyncIterator[Server]:
    """Run ``process-gateway serve`` for the duration of the block, with an admin token.

    Args:
        keeps_answers: whether answers that have not changed come from memory, as by default. The
            benchmark repeats requests, and most parts of it measure reads from PostgreSQL.
        script: what is run instead of ``process-gateway``.
    """
    secret = secrets.token_hex(32)
    # Profile 1 is the admin, created by the first migration.
    token = TokenKeys(secret).issue(1, "admin", timedelta(days=1))
    program = [Path(sys.executable).with_name("process-gateway")]
    if script is not None:
        program = [Path(sys.executable), script]
    settings = {
        "GATEWAY_TOKEN_SECRET": secret,
        "GATEWAY_PAGE_SIZE_MAX": str(largest_page),
        "GATEWAY_LOG_LEVEL": "warning",
    }
    if not keeps_answers:
        settings["GATEWAY_KEPT_ANSWERS_BYTES"] = "0"
    async with running(
        [
            *program,
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
async def start_contestants(
    url: str, folder: Path, count: int, compiler: OperationCompiler
) -> AsyncIterator[Contestants]:
    """Run all contestants for the duration of the block, on a database of ``count`` processes.

    A peer is excluded if it cannot be installed or started, or if its responses differ from the
    gateway's.

    Raises:
        ServerError: the gateway or the limit cannot be started, or the limit's responses differ.
    """
    contestants = Contestants()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(gateway(url, folder / "gateway"))
        cursors = collect_cursors(server, DOCUMENTS, "processes", count)
        limit = LimitAdapter(compiler)
        statements = folder / "statements.json"
        statements.write_bytes(orjson.dumps(limit.statements()))
        script: list[str | Path] = [sys.executable, HERE / "limit.py", "{port}", url, statements]
        limit_server = await stack.enter_async_context(running(script))
        contestants.running = [
            Contestant("gateway", server, GatewayAdapter(), cursors),
            Contestant("limit", limit_server, limit, cursors),
        ]
        await _start_peers(stack, contestants, url, folder, cursors, count)
        for peer in contestants.running[1:]:
            difference = _difference(contestants.running[0], peer)
            if difference is not None:
                contestants.drop(peer.name, difference)
        if "limit" in contestants.missing:
            raise ServerError(f"the limit: {contestants.missing['limit']}")
        yield contestants


async def _start_peers(
    stack: AsyncExitStack,
    contestants: Contestants,
    url: str,
    folder: Path,
    cursors: list[str],
    count: int,
) -> None:
    commands: dict[str, list[str | Path]] = {
        "dataloaders": [sys.executable, HERE / "dataloaders.py", "{port}", url]
    }
    try:
        node = await _install(folder / "peers", contestants.versions)
    except (OSError, TimeoutError, ServerError) as error:
        reason = f"not installed: {error}"
        contestants.missing |= dict.fromkeys(("postgraphile", "mercurius"), reason)
    else:
        for name in ("postgraphile", "mercurius"):
            commands[name] = [node, folder / "peers" / f"{name}.mjs", "{port}", url]
    for name in TITLES:  # in the order of the report
        if name not in commands:
            continue
        try:
            server = await stack.enter_async_context(
                running(commands[name], environment=_PRODUCTION)
            )
            adapter: Adapter = GatewayAdapter()
            if name == "postgraphile":
                documents = PostGraphileAdapter.documents
                theirs = collect_cursors(server, documents, "allProcesses", count)
                adapter = PostGraphileAdapter(dict(zip(cursors, theirs, strict=True)))
        except (OSError, ServerError) as error:
            contestants.missing[name] = str(error)
        else:
            contestants.running.append(Contestant(name, server, adapter, cursors))


async def _install(folder: Path, versions: dict[str, str]) -> Path:
    """Install Node and its peers in ``folder`` unless they are there. Return the node program."""
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
        output, _ = await asyncio.wait_for(process.communicate(), _INSTALL_TIMEOUT)
    except TimeoutError:
        process.kill()
        raise
    if process.returncode:
        raise ServerError(f"{Path(command[0]).name} failed: {output.decode()[-300:]}")
    return output.decode()


def _difference(reference: Contestant, peer: Contestant) -> str | None:
    """Return the case in which the response of a peer differs from the gateway's, or None."""
    for case in CASES:
        pairs = list(zip(reference.bodies(case), peer.bodies(case), strict=True))
        for ours, theirs in pairs[:: len(pairs) - 1]:  # the first and the last
            try:
                expected, response = reference.server.post(ours), peer.server.post(theirs)
            except ServerError as error:
                return f"{case.title}: {error}"
            same = (
                expected == response
                if peer.name == "limit"
                else reference.adapter.read(expected) == peer.adapter.read(response)
            )
            if not same:
                return f"{case.title}: the response differs from the gateway's"
    return None
