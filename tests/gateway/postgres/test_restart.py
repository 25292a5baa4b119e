"""Test that a gateway starts its embedded PostgreSQL again when that has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from gateway.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from gateway.postgres.processes import left_processes, server_process
from tests.gateway.programs import Server, postmaster, serving, until

ENDED = "the embedded PostgreSQL has ended; starting it again"
AGAIN = "the embedded PostgreSQL runs again after "
RESTARTING = {"status": "unavailable", "database": "restarting"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a cluster that all tests use."""
    folder = tmp_path_factory.mktemp("restart") / "data"
    EmbeddedPostgres.start(folder).stop()
    return folder


@pytest.fixture
def data_dir(cluster: Path) -> Iterator[Path]:
    """A data folder whose server does not run. It is stopped even if the test fails."""
    yield cluster
    (cluster / "postgres" / "PG_VERSION").write_text("18\n")
    if process := server_process(cluster / "postgres"):
        os.kill(process, signal.SIGQUIT)
        until(lambda: not server_process(cluster / "postgres"), "the end of PostgreSQL")


def kill(data_dir: Path) -> int:
    """Kill the server, but not its children, and return its process ID."""
    process = postmaster(data_dir)
    os.kill(process, signal.SIGKILL)
    return process


def ready(server: Server) -> bool:
    status, _ = server.get("/health/ready")
    return status == 200


async def query(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


# A gateway ---------------------------------------------------------------------------------------


def test_all_workers_and_gateways_of_a_folder_use_the_next_server(data_dir: Path) -> None:
    with (
        serving("--data-dir", data_dir, "--workers", 2) as first,
        serving("--data-dir", data_dir) as second,
    ):
        first.ready()
        second.ready()
        killed = kill(data_dir)
        until(lambda: postmaster(data_dir) not in (0, killed), "the next server", 10)
        until(lambda: all(ready(first) and ready(second) for _ in range(10)), "readiness", 10)
        until(lambda: AGAIN in first.log + second.log, "the end of the restart", 10)
        # Workers do not start it, and the second gateway may not have noticed.
        assert first.log.count(ENDED) <= 1
        assert second.log.count(ENDED) <= 1
        following = postmaster(data_dir)
        first.stop()
        assert ready(second)
        assert postmaster(data_dir) == following
        second.stop()
    assert not postmaster(data_dir)


def test_a_server_that_does_not_start_again_is_tried_again(data_dir: Path) -> None:
    with serving("--data-dir", data_dir) as server:
        server.ready()
        version = data_dir / "postgres" / "PG_VERSION"
        version.write_text("9.6\n")
        kill(data_dir)
        until(lambda: "; trying again" in server.log, "a failure", 20)
        assert server.get("/health/ready") == (503, RESTARTING)
        version.write_text("18\n")
        until(lambda: ready(server), "readiness", 15)
        until(lambda: AGAIN in server.log, "the end of the restart", 10)
        lines = [
            line for line in server.log.splitlines() if " gateway.postgres.supervise: " in line
        ]
        assert [ENDED in lines[0], "; trying again" in lines[1], AGAIN in lines[2]] == [True] * 3
        assert len(lines) == 3

        # The gateway can be stopped meanwhile.
        version.write_text("9.6\n")
        kill(data_dir)
        until(lambda: server.log.count(ENDED) == 2, "the next restart", 10)
        stopped_at = time.monotonic()
        server.stop()
        assert time.monotonic() - stopped_at < 10
        assert "Traceback" not in server.log
    assert not server_process(data_dir / "postgres")


# Restarting --------------------------------------------------------------------------------------


async def test_statements_of_a_killed_server_are_ended(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    connection = await asyncpg.connect(server.url)
    endless = asyncio.ensure_future(
        connection.fetchval("SELECT count(*) FROM generate_series(1, 1000000000)")
    )
    await asyncio.sleep(0.3)
    kill(data_dir)
    until(lambda: not server.runs(), "the end")
    # The statement goes on, and keeps its memory in use, which prevents a start.
    assert left_processes(data_dir / "postgres")
    url = server.url
    await asyncio.to_thread(server.restart)
    assert await query(url, "SELECT 7") == 7
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await endless
    server.stop()


async def test_the_address_stays_the_same(tmp_path: Path) -> None:
    data_dir = tmp_path / "my, own 'home' ünd more"  # its socket has a folder of its own
    server, other = EmbeddedPostgres.start(data_dir), EmbeddedPostgres.start(data_dir)
    kill(data_dir)
    with ThreadPoolExecutor() as threads:
        for restart in [threads.submit(one.restart) for one in (server, other)]:
            restart.result()
    assert EmbeddedPostgres.is_ready(data_dir)
    assert await query(server.url, "SELECT 7") == 7
    sockets = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    other.stop()
    # The last user may leave while the server does not run.
    kill(data_dir)
    until(lambda: not server.runs(), "the end")
    server.stop()
    assert not sockets.exists()


@pytest.mark.parametrize("program", ["sleep 0", "sleep 60"], ids=["a zombie", "another program"])
def test_a_process_with_the_id_of_a_killed_server_is_not_taken_for_it(
    program: str, data_dir: Path
) -> None:
    server = EmbeddedPostgres.start(data_dir)
    killed = kill(data_dir)
    until(lambda: not server.runs(), "the end")
    # PostgreSQL takes only processes of its own user for another server.
    user = (data_dir / "postgres").stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(program.split(), user=user) as process:
        until(lambda: program == "sleep 60" or _is_zombie(process.pid), "the end of the program")
        for file in (".s.PGSQL.5432.lock", "postmaster.pid"):
            path = data_dir / "postgres" / file
            path.write_text(path.read_text().replace(str(killed), str(process.pid), 1))
        assert not EmbeddedPostgres.is_ready(data_dir)
        server.restart()
        assert server_process(data_dir / "postgres") not in (None, process.pid)
        process.kill()
    server.stop()
    assert not postmaster(data_dir)


def _is_zombie(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")


def test_a_restart_ends_when_the_server_is_to_be_stopped(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    kill(data_dir)
    until(lambda: not server.runs(), "the end")
    server.stop()
    with pytest.raises(EmbeddedPostgresError, match="the gateway stops"):
        server.restart()
    assert not server.runs()
