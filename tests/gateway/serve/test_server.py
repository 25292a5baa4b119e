"""Test ``process-gateway serve`` in real processes: starting, stopping, and recovering."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.postgres.embedded import EmbeddedPostgres
from tests.conftest import SECRET
from tests.gateway.own_postgres import Postgres, own_postgres
from tests.gateway.programs import (
    Server,
    children,
    fetch,
    postmaster,
    require_program,
    run,
    serving,
    until,
)

STOPS: dict[str, Callable[[Server], None]] = {
    "SIGTERM": lambda server: server.process.terminate(),
    "Ctrl-C": Server.interrupt,
}

README = Path(__file__).parents[3] / "README.md"

QUERY = {"query": "{ processes { totalCount } }"}


def _kill_postmaster(data_dir: Path) -> None:
    if process := postmaster(data_dir):
        os.kill(process, signal.SIGQUIT)
        until(lambda: not postmaster(data_dir), "the end of PostgreSQL")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with the demo home. No server runs on it between tests."""
    folder = tmp_path_factory.mktemp("server") / "data"
    assert run("demo", "--data-dir", folder).returncode == 0
    yield folder
    _kill_postmaster(folder)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder that does not exist yet."""
    folder = tmp_path / "data"
    yield folder
    _kill_postmaster(folder)


@pytest.fixture(scope="module")
def admin(home: Path) -> str:
    """A token for ``home`` with the profile admin."""
    return run("token", "--profile", "admin", "--data-dir", home).stdout.strip()


@contextlib.asynccontextmanager
async def locked_processes(data_dir: Path) -> AsyncIterator[None]:
    """Lock the table of processes, so that requests that read it wait."""
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    connection = await asyncpg.connect(
        host=lines[4], port=int(lines[3]), user="postgres", database="postgres"
    )
    try:
        # Closing the connection ends the transaction; a gateway that stops may have closed it.
        await connection.execute("BEGIN; LOCK TABLE process IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.terminate()


# Starting ----------------------------------------------------------------------------------------


def _first_look_of_the_readme() -> dict[str, list[str]]:
    """Return the code blocks of the first section of README.md, by language."""
    text = README.read_text(encoding="utf-8")
    section = text.partition("## A first look")[2].partition("\n## ")[0]
    blocks: dict[str, list[str]] = {}
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        blocks.setdefault(language, []).append(block)
    return blocks


@contextlib.contextmanager
def simulated_devices() -> Iterator[str]:
    """Run the devices of the demo home, and return their address."""
    program = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo-devices", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        yield program.stdout.readline().split()[1].removesuffix("/lights")
    finally:
        program.terminate()
        program.communicate()


def test_the_first_start_prints_what_the_readme_shows(data_dir: Path) -> None:
    with (
        simulated_devices() as devices,
        serving("--demo", "--demo-devices", devices, "--data-dir", data_dir) as server,
    ):
        server.ready()
        for path in ("/graphql", "/process", "/processes", "/docs", "/health"):
            assert f" {server.url}{path}" in server.output
        for path in ("/health", "/health/ready"):
            assert server.get(path)[0] == 200

        # README.md shows the output, and the responses to the printed commands.
        shown = server.output.replace(server.url, "http://127.0.0.1:8080")
        shown = shown.replace(devices, "http://127.0.0.1:8090")
        printed, token, commands = re.split(r"^  TOKEN=(\S+)\n\n", shown, flags=re.MULTILINE)
        blocks = _first_look_of_the_readme()
        assert f"{printed}  TOKEN=eyJ…\n" == blocks[""][0]
        assert textwrap.dedent(commands) == "".join(blocks["sh"])
        require_program("curl")
        pasted = "".join(blocks["sh"]).replace("http://127.0.0.1:8080", server.url)
        pasted = pasted.replace("http://127.0.0.1:8090", devices)
        pasted = re.sub("^curl", "echo; curl", pasted, flags=re.MULTILINE)
        shell = subprocess.run(
            ["sh"],
            input=pasted,
            env=os.environ | {"TOKEN": token},
            capture_output=True,
            text=True,
            check=True,
        )
        answers = shell.stdout[1:].replace("\n\n", "\n")  # the devices end an answer with one
        assert answers + "\n" == "".join(blocks["json"])

        secret = data_dir / "token-secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        content = secret.read_text()
        server.stop()
    assert not postmaster(data_dir)
    with serving("--demo", "--data-dir", data_dir) as server:
        seconds = server.ready()
        assert secret.read_text() == content
        assert server.get("/processes", token)[0] == 200
        server.stop()
    # A busy machine gets more time.
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert seconds < 4 * busy, f"the second start took {seconds:.1f} s"


def test_two_servers_on_one_data_folder_share_its_postgresql(home: Path, admin: str) -> None:
    with serving("--data-dir", home) as first, serving("--data-dir", home) as second:
        first.ready()
        second.ready()
        shared = postmaster(home)
        # Without --demo, no token is printed.
        assert "TOKEN" not in first.output
        answers = [server.get("/processes", admin) for server in (first, second)]
        assert answers[0] == answers[1]
        assert answers[0][0] == 200
        first.stop()
        assert second.get("/processes", admin) == answers[0]
        assert postmaster(home) == shared
        second.stop()
    assert not postmaster(home)


# Stopping ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", STOPS)
async def test_a_request_in_flight_is_finished(how: str, home: Path, admin: str) -> None:
    with serving("--data-dir", home) as server:
        await asyncio.to_thread(server.ready)
        async with locked_processes(home):
            waiting = asyncio.create_task(asyncio.to_thread(server.get, "/process", admin))
            await asyncio.sleep(0.3)
            STOPS[how](server)
            # New connections are rejected.
            await asyncio.to_thread(
                until, lambda: _rejects_connections(server.url), "the end of listening", 5
            )
            await asyncio.sleep(0.3)
            assert server.process.poll() is None
            assert not waiting.done()
        status, answer = await waiting
        assert (status, answer["error"]) == (200, False)
        assert len(answer["data"]) > 10
        assert await asyncio.to_thread(server.ended) == 0
    assert not postmaster(home)
    assert "Traceback" not in server.log


def _rejects_connections(url: str) -> bool:
    try:
        fetch(f"{url}/health")
    except OSError:  # refused, or reset while it was in the queue
        return True
    return False


async def test_a_request_longer_than_the_grace_period_is_interrupted(
    home: Path, admin: str
) -> None:
    with serving("--data-dir", home, GATEWAY_SHUTDOWN_GRACE="0.5") as server:
        await asyncio.to_thread(server.ready)
        async with locked_processes(home):
            waiting = asyncio.create_task(asyncio.to_thread(server.get, "/process", admin))
            await asyncio.sleep(0.3)
            stopped_at = time.monotonic()
            server.process.terminate()
            with pytest.raises(OSError):  # noqa: PT011 - the connection may end in several ways
                await waiting
            assert time.monotonic() - stopped_at < 4
        assert await asyncio.to_thread(server.ended) == 0
    assert not postmaster(home)


MOMENTS: dict[str, Callable[[Path], object]] = {
    "while the cluster is created": lambda data_dir: (data_dir / "postgres.new").exists(),
    "while PostgreSQL starts": lambda data_dir: (data_dir / "postgres/postmaster.pid").exists(),
}


@pytest.mark.parametrize(("moment", "how"), list(zip(MOMENTS, STOPS, strict=True)))
def test_a_server_can_be_stopped_while_it_starts(how: str, moment: str, data_dir: Path) -> None:
    with serving("--data-dir", data_dir) as server:
        until(lambda: MOMENTS[moment](data_dir) or server.process.poll() is not None, "the moment")
        STOPS[how](server)
        assert server.ended() == 0, server.log
        assert not postmaster(data_dir)
        assert server.output == ""
        assert "Traceback" not in server.log
    # The next start succeeds.
    EmbeddedPostgres.start(data_dir).stop()


def test_a_server_starts_after_it_was_killed(home: Path, admin: str) -> None:
    with serving("--data-dir", home) as server:
        server.ready()
        server.process.kill()
        assert server.ended() == -signal.SIGKILL
    left = postmaster(home)
    assert left
    with serving("--data-dir", home) as server:
        server.ready()
        assert postmaster(home) == left
        assert server.get("/processes", admin)[0] == 200
        server.process.kill()
        os.kill(left, signal.SIGKILL)  # PostgreSQL is killed as well
    with serving("--data-dir", home) as server:
        server.ready()
        assert server.get("/processes", admin)[0] == 200
        server.stop()
    assert not postmaster(home)


# Several processes on one port -------------------------------------------------------------------


def _workers(server: Server) -> list[int]:
    processes = children(server.process.pid).items()
    return [process for process, command in processes if "gateway.serve.workers" in command]


def _runs(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def test_workers_finish_their_requests(home: Path, admin: str) -> None:
    with serving("--data-dir", home, "--workers", "2") as server, ThreadPoolExecutor(8) as clients:
        await asyncio.to_thread(server.ready)
        (worker,) = _workers(server)
        loop = asyncio.get_running_loop()
        async with locked_processes(home):
            # Enough requests that each process gets some.
            waiting = [
                loop.run_in_executor(clients, server.get, "/processes", admin) for _ in range(8)
            ]
            await asyncio.sleep(1)
            server.process.terminate()
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in waiting)
        assert {status for status, _ in await asyncio.gather(*waiting)} == {200}
        assert await asyncio.to_thread(server.ended) == 0
        assert not _runs(worker)
    assert not postmaster(home)


# Database failures -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server that only this module uses."""
    with own_postgres(tmp_path_factory.mktemp("external")) as server:
        yield server


def _codes(server: Server, token: str) -> tuple[Any, ...]:
    """Return the status and the code of a read through each API."""
    graphql, answer = fetch(f"{server.url}/graphql", token, QUERY)
    process, envelope = server.get("/process", token)
    processes, list_ = server.get("/processes", token)
    error = answer.get("errors", [{"extensions": {"code": "ok"}}])[0]
    return (
        *(graphql, error["extensions"]["code"]),
        *(process, envelope["code"]),
        *(processes, list_.get("code", "ok")),
    )


WELL = (200, "ok", 200, "ok", 200, "ok")
UNAVAILABLE = ("DATABASE_UNAVAILABLE", 503, "unavailable", 503, 1006)


def test_the_server_recovers_after_the_database_restarts(external: Postgres) -> None:
    there = ("--database-url", external.url)
    secret = {"GATEWAY_TOKEN_SECRET": SECRET}
    with serving(*there, **secret) as server:
        server.ready()
        token = run("token", "--profile", "admin", *there, variables=secret).stdout.strip()
        assert _codes(server, token) == WELL
        external.stop()
        # GraphQL answers 200 to an operation that was executed, 503 if the token is not judged.
        assert _codes(server, token)[1:] == UNAVAILABLE
        assert server.get("/health/ready")[0] == 503
        assert server.get("/health") == (200, {"status": "ok"})
        # An invalid token is rejected without the database.
        assert server.get("/process", "sesame")[0] == 401
        external.start()
        until(lambda: _codes(server, token) == WELL, "recovery", 5)
        assert server.get("/health/ready")[0] == 200
        # Notifications are received again.
        assert run("revoke", token, *there, variables=secret).returncode == 0
        until(lambda: server.get("/process", token)[0] == 401, "the rejection", 2)
        server.stop()


def test_the_server_recovers_after_the_database_hangs(external: Postgres) -> None:
    there = ("--database-url", external.url)
    variables = {
        "GATEWAY_TOKEN_SECRET": SECRET,
        "GATEWAY_STATEMENT_TIMEOUT": "1",
        "GATEWAY_POOL_MAX": "2",
    }
    with serving(*there, **variables) as server, ThreadPoolExecutor(20) as clients:
        server.ready()
        token = run("token", "--profile", "admin", *there, variables=variables).stdout.strip()
        assert _codes(server, token) == WELL

        def timed(path: str) -> tuple[int, float]:
            started_at = time.monotonic()
            return server.get(path, token)[0], time.monotonic() - started_at

        with external.frozen():
            # There are more clients than connections, but no client waits for the ones before it.
            requests = [clients.submit(timed, "/process") for _ in range(10)]
            ready = clients.submit(timed, "/health/ready")
            alive, after = timed("/health")
            assert (alive, after < 0.5) == (200, True)
            status, after = ready.result()
            assert (status, after < 4) == (503, True)
            answers = [answer.result() for answer in requests]
            # Some wait for a connection that another statement does not give back in time.
            assert {status for status, _ in answers} <= {503, 429}
            assert max(seconds for _, seconds in answers) < 4
        until(lambda: _codes(server, token) == WELL, "recovery", 5)
        server.stop()
