"""Test the embedded PostgreSQL with real servers and real processes."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from gateway.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries

PROGRAM = """
import signal, sys
from pathlib import Path
from gateway.postgres.embedded import EmbeddedPostgres

server = EmbeddedPostgres.start(Path(sys.argv[1]))
signal.signal(signal.SIGINT, lambda *_: None)
print(server.url, flush=True)
sys.stdin.readline()
server.stop()
"""


class Member:
    """Another process that uses the server of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        """Wait until the process uses a server, and return the server's URL."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def stop(self) -> None:
        self.process.communicate("stop\n", timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def member(data_dir: Path) -> Iterator[Member]:
    it = Member(data_dir)
    try:
        yield it
    finally:
        it.kill()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A new data folder. Its server is stopped even if the test fails."""
    folder = tmp_path / "data"
    yield folder
    with suppress(OSError):
        os.kill(postmaster(folder), signal.SIGQUIT)


def accepts(url: str) -> bool:
    query = parse_qs(urlsplit(url).query)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}")
        except OSError:
            return False
    return True


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


async def query(url: str, *statements: str) -> object:
    """Return the value that the last statement returns."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            value: object = await connection.fetchval(statement)
        return value
    finally:
        await connection.close()


async def test_data_survives_a_restart(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    await query(server.url, "CREATE TABLE kept AS SELECT 7 AS value")
    server.stop()
    assert not accepts(server.url)
    server = EmbeddedPostgres.start(data_dir)
    assert await query(server.url, "SELECT value FROM kept") == 7
    server.stop()
    server.stop()
    assert not accepts(server.url)


async def test_text_is_unicode_in_any_locale(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "POSIX")
    server = EmbeddedPostgres.start(data_dir)
    assert await query(server.url, "SELECT lower('ÄÉ🏠') || pg_encoding_to_char(6)") == "äé🏠UTF8"
    server.stop()


def test_the_last_user_stops_the_server(data_dir: Path) -> None:
    first, second = EmbeddedPostgres.start(data_dir), EmbeddedPostgres.start(data_dir)
    assert first.url == second.url
    first.stop()
    first.stop()
    assert accepts(second.url)
    second.stop()
    assert not accepts(second.url)


def test_processes_share_a_server(data_dir: Path) -> None:
    with member(data_dir) as other:
        url = other.url()
        server = EmbeddedPostgres.start(data_dir)
        assert server.url == url
        other.stop()
        assert accepts(url)
        server.stop()
        assert not accepts(url)


def test_the_server_keeps_running_for_a_process_that_joined(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    with member(data_dir) as other:
        assert other.url() == server.url
        server.stop()
        assert accepts(server.url)
        other.stop()
    assert not accepts(server.url)


def test_processes_that_start_together_share_a_server(data_dir: Path) -> None:
    with member(data_dir) as one, member(data_dir) as two, member(data_dir) as three:
        assert one.url() == two.url() == three.url()
        for other in (one, two):
            other.stop()
        assert accepts(f"postgresql:///?host={data_dir}/postgres&port=5432")
        three.stop()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_a_killed_process_does_not_keep_the_server_running(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    with member(data_dir) as other:
        assert other.url() == server.url
        other.kill()
    server.stop()
    assert not accepts(server.url)


def test_a_server_that_was_left_running_is_joined(data_dir: Path) -> None:
    with member(data_dir) as other:
        url = other.url()
        other.kill()
    assert accepts(url)
    pid = postmaster(data_dir)
    server = EmbeddedPostgres.start(data_dir)
    assert postmaster(data_dir) == pid
    server.stop()
    assert not accepts(url)


async def test_a_killed_server_is_replaced(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    await query(server.url, "CREATE TABLE kept AS SELECT 7 AS value")
    for _ in range(2):
        os.kill(postmaster(data_dir), signal.SIGKILL)
        successor = EmbeddedPostgres.start(data_dir)
        assert await query(successor.url, "SELECT value FROM kept") == 7
        server.stop()
        assert accepts(successor.url)
        server = successor
    server.stop()
    assert not accepts(server.url)


def test_stopping_after_the_server_was_killed_succeeds(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    os.kill(postmaster(data_dir), signal.SIGKILL)
    server.stop()
    assert not accepts(server.url)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with member(data_dir) as other:
        url = other.url()
        os.killpg(other.process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert accepts(url)
        other.stop()
    assert not accepts(url)


def test_an_unfinished_cluster_is_created_again(data_dir: Path) -> None:
    unfinished = data_dir / "postgres.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres.start(data_dir)
    assert not unfinished.exists()
    server.stop()


@pytest.mark.parametrize("name", ["my, own 'home' ünd more", "deep" * 40])
async def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    server = EmbeddedPostgres.start(tmp_path / name)
    assert await query(server.url, "SELECT 7") == 7
    sockets = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    server.stop()
    assert not sockets.exists()


def test_a_relative_folder_is_resolved_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = EmbeddedPostgres.start(Path("new/data"))
    monkeypatch.chdir("/")
    assert f"host={tmp_path}/new/data/postgres" in server.url
    server.stop()
    assert not accepts(server.url)


async def test_variables_for_other_servers_are_ignored(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "nowhere", "PGHOST": "nowhere"}.items():
        monkeypatch.setenv(name, value)
    server = EmbeddedPostgres.start(data_dir)
    assert await query(server.url, "SHOW port") == "5432"
    server.stop()


async def test_other_users_cannot_connect(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    assert await query(server.url, "SHOW listen_addresses") == ""
    mode = (data_dir / "postgres" / ".s.PGSQL.5432").stat().st_mode
    assert stat.S_IMODE(mode) == 0o700
    assert not stat.S_IMODE(data_dir.stat().st_mode) & 0o066
    server.stop()


def test_a_server_that_cannot_start_is_reported(data_dir: Path) -> None:
    EmbeddedPostgres.start(data_dir).stop()
    version = data_dir / "postgres" / "PG_VERSION"
    version.write_text("9.6\n")
    start = time.monotonic()
    with pytest.raises(EmbeddedPostgresError, match=r"^PostgreSQL does not start: .*server.log"):
        EmbeddedPostgres.start(data_dir)
    assert time.monotonic() - start < 10
    version.write_text("18\n")
    EmbeddedPostgres.start(data_dir).stop()


def test_exists_reports_whether_a_folder_has_a_cluster(data_dir: Path) -> None:
    assert not EmbeddedPostgres.exists(data_dir)
    assert not data_dir.exists()
    EmbeddedPostgres.start(data_dir).stop()
    assert EmbeddedPostgres.exists(data_dir)


def test_a_folder_that_is_a_file_is_rejected(data_dir: Path) -> None:
    data_dir.touch()
    with pytest.raises(FileExistsError):
        EmbeddedPostgres.start(data_dir)


def test_the_binaries_are_installed() -> None:
    for name in ("postgres", "pg_ctl", "initdb", "pg_basebackup"):
        assert os.access(binaries() / name, os.X_OK)
