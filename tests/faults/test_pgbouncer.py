"""Test the gateway behind PgBouncer in transaction mode, as docs/settings.md sets it up."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.answers import Outcome
from tests.faults.conftest import Report
from tests.faults.faults import administrator
from tests.faults.history import contradictions
from tests.faults.load import Load
from tests.faults.world import CHAOS, SETTINGS, figures, world_of
from tests.gateway.own_postgres import Postgres
from tests.gateway.programs import free_port, require_program, serving, until

REQUESTS = 10_000 if CHAOS else 1_000
_POOL = 4
"""Connections of PgBouncer to PostgreSQL, fewer than the gateway has to PgBouncer."""

_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
_CONFIG = """
[databases]
postgres = host=127.0.0.1 port={target} user=gateway
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
default_pool_size = {pool}
{documented}
"""


def _section() -> str:
    """Return the section of docs/settings.md about PgBouncer."""
    text = _PAGE.read_text(encoding="utf-8")
    return text.partition("\n## Behind PgBouncer\n")[2].partition("\n## ")[0]


def _block(language: str) -> str:
    """Return the code in a language that the section shows."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", _section(), re.MULTILINE | re.DOTALL)
    return str(block)


def _settings() -> dict[str, str]:
    """Return the settings of the gateway that the section sets to 0."""
    names = re.findall(r"set `(\w+)` to 0", _section())
    assert names
    return {f"GATEWAY_{name.upper()}": "0" for name in names}


@contextmanager
def _pgbouncer(folder: Path, target: int) -> Iterator[str]:
    """Run PgBouncer in front of a port, and yield the URL of the database behind it."""
    program = require_program("pgbouncer")
    port = free_port()
    config = folder / "pgbouncer.ini"
    documented = _block("ini")
    config.write_text(_CONFIG.format(target=target, port=port, pool=_POOL, documented=documented))
    # PgBouncer does not run as root. Another user must be able to read its settings.
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    for path in (folder, *folder.parents) if nobody else ():
        path.chmod(path.stat().st_mode | 0o001)
    config.chmod(0o644)
    process = subprocess.Popen(
        [program, "--quiet", config],
        user=nobody and nobody.pw_uid,
        group=nobody and nobody.pw_gid,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _listens(port) or process.poll() is not None, "PgBouncer")
        assert process.poll() is None, "PgBouncer does not start"
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.kill()
        process.wait(30)


def _listens(port: int) -> bool:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


@pytest.mark.timeout(300)
async def test_no_request_fails_behind_pgbouncer(
    fragile: Postgres, tmp_path: Path, report: Report
) -> None:
    async with administrator(fragile) as connection:
        await connection.execute("CREATE ROLE gateway SUPERUSER LOGIN")
        await connection.execute(_block("sql"))
    with (
        _pgbouncer(tmp_path, fragile.port) as url,
        serving("--demo", "--database-url", url, **SETTINGS, **_settings()) as server,
    ):
        world = await world_of(server, fragile.url)
        load = Load(
            *(server.url, world.token, world.revoked, world.reads),
            bound=20,
            name="pgbouncer",
            writers=12,
            goal=REQUESTS,
        )
        async with load.running(), administrator(fragile) as connection:
            await load.reached.wait()
            backends = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        report(f"behind PgBouncer: {figures(load.sent)}")
        failed = [str(one) for one in load.sent if one.outcome is not Outcome.RIGHT]
        assert failed == []
        assert {status for *_, status in load.ready} == {200}
        assert await contradictions(fragile.url, load.sent) == []
        # The connections of the gateway did share those of PgBouncer.
        assert backends <= _POOL
        server.stop()
        assert "Traceback" not in server.log
