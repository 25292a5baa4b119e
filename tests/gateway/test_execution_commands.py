"""Test the commands that execute processes, and watch, cancel and repeat executions."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.effects import Effects
from tests.gateway.programs import COMMAND, PATIENCE, environment, run, until

TIMES = re.compile(r"\d+\.\d+ s")


@pytest.fixture
def effects(database_url: str, tmp_path: Path) -> Effects:
    return Effects(database_url, tmp_path)


def ran(effects: Effects, *arguments: object) -> tuple[int, str, str]:
    """Run a command, and return its status, its output without times, and its errors."""
    ended = run(*arguments, variables=effects.variables)
    return ended.returncode, TIMES.sub("T", ended.stdout), ended.stderr


def last(output: str) -> str:
    return output.splitlines()[-1]


@contextmanager
def started(effects: Effects, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command that ends with the test."""
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        env=environment(**effects.variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the status, the output and the errors of a command."""
    output, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    return process.returncode, output, errors


# run ---------------------------------------------------------------------------------------------


async def test_run_shows_each_change_and_ends_with_the_whole(effects: Effects) -> None:
    await effects.process("inner", [("once", "0.3"), ("once", "0")])
    await effects.process("outer", [("once", "0.3"), "inner"], inputs=["who"])
    status, output, errors = ran(effects, "run", "outer", "--input", "who=a=b")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert "outer (execution 1): running, T" in lines
    assert "outer/1 lamp once: running, T" in lines
    assert "outer/2/inner/1 lamp once: succeeded, T" in lines
    order = [
        "outer/1 lamp once: succeeded, T",
        "outer/2/inner/2 lamp once: succeeded, T",
        "outer/2/inner (execution 2): succeeded, T",
        "outer/2 process inner: succeeded, T",
        "outer (execution 1): succeeded, T",
    ]
    assert [line for line in lines if line in order] == order
    assert lines[-1] == order[-1]
    assert len(lines) == len(set(lines))
    (row,) = await effects.sql(
        "SELECT trigger, profile_name, inputs FROM execution WHERE root_id IS NULL"
    )
    assert tuple(row) == ("command", "admin", '[{"reference":"who","value":"a=b"}]')


async def test_run_exits_with_1_if_it_failed_and_3_if_in_doubt(effects: Effects) -> None:
    await effects.process("breaks", [("fail", "0")])
    status, output, _ = ran(effects, "run", "breaks")
    assert status == 1
    # What a source says does not control the terminal.
    error = 'action 1 ("lamp") failed: the bulb is \ufffd[1mbroken'
    assert last(output) == f"breaks (execution 1): failed, T: {error}"
    await effects.process("doubtful", [("doubt", "0")])
    status, output, _ = ran(effects, "run", "doubtful")
    assert status == 3
    assert "doubtful/1 lamp doubt: failed, in doubt, T: no whole answer" in output


async def test_the_json_of_run_is_the_record_with_the_words_of_graphql(effects: Effects) -> None:
    await effects.process("inner", [("once", "0")])
    await effects.process("outer", ["inner", ("doubt", "0")])
    status, output, errors = ran(effects, "run", "outer", "--json", "--dry-run")
    assert (status, errors) == (0, "")
    assert effects.begun == []
    record: dict[str, Any] = json.loads(output)
    assert record["dryRun"] is True
    ended = run("run", "outer", "--json", variables=effects.variables)
    record = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert record["processReference"] == "outer"
    assert (record["status"], record["inDoubt"]) == ("FAILED", True)
    assert (record["trigger"], record["errorCode"]) == ("COMMAND", "SOURCE_FAILED")
    first, second = record["steps"]
    assert first["subexecution"]["steps"][0]["result"] == {"done": "once"}
    assert (second["errorCode"], second["inDoubt"]) == ("SOURCE_FAILED", True)
    assert second["arguments"] == [{"reference": "seconds", "value": "0"}]
    assert record["startedAt"].endswith("Z")
    shown = run("trace", record["id"], "--json", variables=effects.variables)
    assert (shown.returncode, json.loads(shown.stdout)) == (0, record)


async def test_a_key_shows_the_first_execution_again(effects: Effects) -> None:
    await effects.process("light", [("once", "0")])
    await effects.process("heating", [("once", "0")])
    for _ in range(2):
        status, output, _ = ran(effects, "run", "light", "--key", "today")
        assert (status, last(output)) == (0, "light (execution 1): succeeded, T")
    assert effects.begun == ["once"]
    refused = "process-gateway: --key: the idempotency key was used for another request\n"
    assert ran(effects, "run", "heating", "--key", "today") == (1, "", refused)


async def test_what_run_refuses(effects: Effects) -> None:
    await effects.process("light", [("once", "0")], inputs=["room"], concurrency="single")
    for arguments, message in (
        (["nope"], 'REFERENCE: there is no process "nope"'),
        (["light"], "--input room: is missing"),
        (
            ["light", "--input", "room=x", "--input", "y=z"],
            "--input y: the process has no such input",
        ),
    ):
        assert ran(effects, "run", *arguments) == (1, "", f"process-gateway: {message}\n")
    assert await effects.sql("SELECT FROM execution") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run light --input room", 'argument --input: expected NAME=VALUE, got "room"'),
        ("run light --input =x", 'argument --input: expected NAME=VALUE, got "=x"'),
        ("run light --key é", "argument --key: expected 1 to 255 printable ASCII characters"),
        (
            "run light --timeout-wait -1",
            'argument --timeout-wait: expected a number of seconds from 0, got "-1"',
        ),
        ("trace 0", "argument ID: expected a positive 32-bit number, got 0"),
        ("trace 99999999999", "argument ID: expected a positive 32-bit number, got 99999999999"),
        ("cancel x", 'argument ID: expected an id that this API gave out, got "x"'),
        (
            "cancel UHJvY2Vzczox",
            "argument ID: expected the id of a Execution, got the id of a Process",
        ),
        ("replay 1", "the following arguments are required: --from"),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: str, message: str) -> None:
    wrong = run(*arguments.replace(" -1", "=-1").split(), cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.splitlines()[-1].endswith(f"error: {message}")


async def test_a_terminal_shows_a_tree_that_is_drawn_in_place(effects: Effects) -> None:
    await effects.process("inner", [("once", "0.4")])
    await effects.process("outer", ["inner"])
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        COMMAND, "run", "outer", env=environment(**effects.variables), stdout=follower
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    os.close(follower)
    output = b""
    try:
        while piece := os.read(leader, 65_536):
            output += piece
    except OSError:
        pass  # that is how a terminal ends
    finally:
        os.close(leader)
    *_, whole = re.split(r"\x1b\[\dF\x1b\[J", TIMES.sub("T", output.decode()))
    assert whole.splitlines() == [
        "outer (execution 1): succeeded, T",
        "  1 process inner: succeeded, T",
        "    inner (execution 2): succeeded, T",
        "      1 lamp once: succeeded, T",
    ]
    assert b"once: running" in output


# Ctrl-C ------------------------------------------------------------------------------------------


async def test_ctrl_c_cancels_the_execution(effects: Effects) -> None:
    await effects.process("long", [("once", "0.5"), ("again", "0"), ("again", "0")])
    with started(effects, "run", "long") as process:
        await effects.wait_for("once")
        process.send_signal(signal.SIGINT)
        status, output, errors = await ended(process)
    # The action in flight has finished, and no other has started.
    assert effects.begun == ["once"]
    assert status in (1, 3), errors
    assert "(execution 1): cancelled" in last(output)
    cancelling = "cancelling execution 1; Ctrl-C again leaves it to other workers"
    assert errors == f"process-gateway: {cancelling}\n"


async def test_a_second_ctrl_c_leaves_the_execution_to_other_workers(effects: Effects) -> None:
    await effects.process("long", [("again", "30")])
    with started(effects, "run", "long") as process:
        await effects.wait_for("again")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Ctrl-C again" in await asyncio.to_thread(process.stderr.readline)
        process.send_signal(signal.SIGINT)
        status, _, errors = await ended(process)
    assert (status, errors) == (130, "process-gateway: execution 1 is left to other workers\n")
    with started(effects, "worker"):
        assert await effects.until_sql("SELECT status = 'cancelled' FROM execution")


async def test_what_run_does_not_wait_for_goes_on_elsewhere(effects: Effects) -> None:
    await effects.process("long", [("once", "0.5"), ("once", "0.5"), ("again", "0")])
    status, _, errors = ran(effects, "run", "long", "--timeout-wait", "0.2")
    assert status == 1
    assert errors == (
        "process-gateway: execution 1 has not ended after 0.2 s; other workers go on with it"
        " ('process-gateway trace 1' shows it)\n"
    )
    (row,) = await effects.sql("SELECT status, owner, takeovers FROM execution")
    assert tuple(row) == ("running", None, 0)
    with started(effects, "worker"):
        assert await effects.until_sql("SELECT status = 'succeeded' FROM execution")
    assert effects.begun == ["once", "once", "again"]
    (row,) = await effects.sql("SELECT takeovers FROM execution")
    assert tuple(row) == (0,)


async def test_a_worker_takes_over_from_a_run_that_was_killed(effects: Effects) -> None:
    await effects.process("long", [("again", "1"), ("once", "0")])
    with started(effects, "worker") as worker, started(effects, "run", "long") as process:
        await effects.wait_for("again")
        process.kill()
        follower = await asyncio.to_thread(ran, effects, "trace", 1, "--follow")
        worker.terminate()
        assert (await ended(worker))[0] == 0
    assert follower[0] == 0, follower
    assert last(follower[1]) == "long (execution 1): succeeded, taken over 1 times, T"
    assert effects.begun == ["again", "again", "once"]
    status, output, _ = ran(effects, "trace", 1)
    assert status == 0
    assert output.splitlines() == [
        "long (execution 1): succeeded, taken over 1 times, T",
        "  1 lamp again: succeeded, attempt 2, T",
        "    attempt 1: interrupted, in doubt, T: the gateway that ran it failed",
        "  2 lamp once: succeeded, T",
    ]


# cancel, replay, worker --------------------------------------------------------------------------


async def test_cancel_ends_what_another_process_runs(effects: Effects) -> None:
    await effects.process("long", [("again", "2")] * 30, concurrency="queued")
    with started(effects, "run", "long") as process, started(effects, "run", "long") as waiting:
        await effects.until_sql(
            "SELECT count(*) = 2 FROM execution WHERE status IN ('queued', 'running')"
        )
        (running,) = await effects.sql("SELECT id FROM execution WHERE status = 'running'")
        queued = 3 - running["id"]
        assert ran(effects, "cancel", queued) == (
            0,
            f"execution {queued} was cancelled; it had not started\n",
            "",
        )
        assert ran(effects, "cancel", running["id"]) == (
            0,
            f"execution {running['id']} is being cancelled: no further step of it starts\n",
            "",
        )
        begun = len(effects.begun)
        for each in (process, waiting):
            status, output, errors = await ended(each)
            assert (status in (1, 3), errors) == (True, ""), output
            assert ": cancelled" in last(output)
    assert len(effects.begun) == begun
    assert ran(effects, "cancel", 1) == (
        1,
        "",
        "process-gateway: ID: the execution has ended already\n",
    )
    assert ran(effects, "cancel", 77) == (1, "", "process-gateway: there is no such execution\n")
    assert ran(effects, "trace", 77) == (
        1,
        "",
        "process-gateway: ID: there is no execution 77\n",
    )


async def test_replay_repeats_from_a_step_on(effects: Effects) -> None:
    await effects.process("light", [("once", "0"), ("doubt", "0"), ("again", "0")])
    assert ran(effects, "run", "light")[0] == 3
    status, output, errors = ran(effects, "replay", 1, "--from", 3)
    assert (status, errors) == (0, "")
    assert last(output) == "light (execution 2): succeeded, T"
    assert "light/1 lamp once: skipped, T" in output.splitlines()
    assert effects.begun == ["once", "doubt", "again"]
    await effects.sql("UPDATE action SET action = 'new' WHERE position = 2")
    assert ran(effects, "replay", 1, "--from", 2, "--current")[0] == 0
    assert effects.begun[3:] == ["new", "again"]
    assert ran(effects, "replay", 1, "--from", 9) == (
        1,
        "",
        "process-gateway: --from: expected the position of a step, 1 to 3, got 9\n",
    )


@pytest.mark.parametrize("action", ["once", "stubborn", "block"])
async def test_a_worker_stops_within_the_grace_period(effects: Effects, action: str) -> None:
    """Whatever the action does: finish, ignore its cancellation, or block a thread."""
    seconds = "0.8" if action == "once" else "60"
    await effects.process("long", [(action, seconds), ("again", "0")])
    effects.variables["GATEWAY_SHUTDOWN_GRACE"] = "2"
    ran(effects, "run", "long", "--timeout-wait", "0", "--dry-run")  # compiles what it needs
    with started(effects, "run", "long") as process:
        await effects.wait_for(action)
        process.terminate()
        waiting = asyncio.create_task(asyncio.to_thread(process.wait, PATIENCE))
        status = await asyncio.wait_for(waiting, 3 + 3)  # the machine is busy
    assert status == 130
    (row,) = await effects.sql(
        "SELECT e.status, owner IS NULL AS given_up, step.status AS step FROM execution AS e"
        " JOIN execution_step AS step ON execution_id = e.id WHERE NOT dry_run"
    )
    if action == "once":
        assert tuple(row) == ("running", True, "succeeded")
    else:
        assert tuple(row) == ("running", False, "running")
    with started(effects, "worker") as worker:
        assert worker.stdout is not None
        until(worker.stdout.readline, "a worker")
        end = "succeeded" if action == "once" else "interrupted"
        await effects.until_sql("SELECT status = $1 FROM execution WHERE NOT dry_run", end)
        worker.terminate()
        assert (await ended(worker))[0] == 0
    assert effects.begun == ([action, "again"] if action == "once" else [action])


async def test_worker_needs_a_gateway(tmp_path: Path) -> None:
    ended = run("worker", "--data-dir", tmp_path / "none")
    assert ended.returncode == 1
    assert ended.stderr.startswith("process-gateway: data_dir: there is no gateway in ")
