"""Test that the error catalogue and ``docs/errors.md`` match, and the format of messages."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from resolvers.errors.catalogue import (
    ErrorKind,
    FieldProblem,
    GatewayError,
    bad_input,
    format_path,
)
from resolvers.errors.translate import entry
from rest_compat.errors import ERROR_CODES, PROCESSES_MESSAGES
from rest_compat.processes.envelope import ProcessesEnvelope

ROOT = Path(__file__).parents[3]


def documented_errors() -> dict[str, tuple[str, ...]]:
    """Return the rows of the table in docs/errors.md, by GraphQL code."""
    rows = {}
    for line in (ROOT / "docs" / "errors.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[1].startswith("`"):
            rows[cells[1].strip("`")] = tuple(cells)
    return rows


def test_every_error_is_documented() -> None:
    rows = documented_errors()
    assert set(rows) - {"extensions.code"} >= {kind.name for kind in ErrorKind}
    for kind in ErrorKind:
        codes = ERROR_CODES[kind]
        summary, graphql, process, processes, status = rows[kind.name]
        assert summary == kind.value
        assert graphql == f"`{kind.name}`"
        if codes.process is None or codes.processes is None:
            assert (process, processes) == ("only GraphQL", "only GraphQL")
        else:
            assert process == f"`{codes.process}`"
            assert processes == f"{codes.processes}: {PROCESSES_MESSAGES[codes.processes]}"
        assert [int(number) for number in re.findall(r"\b\d{3}\b", status)] == [
            codes.status,
            *([codes.processes_status] if codes.processes_status else []),
        ]


def test_every_documented_error_exists() -> None:
    names = {kind.name for kind in ErrorKind}
    assert {name for name in documented_errors() if name.isupper()} == names


def test_the_process_dialect_has_a_code_for_each_error() -> None:
    codes = [codes.process for codes in ERROR_CODES.values() if codes.process is not None]
    assert len(set(codes)) == len(codes)


def test_paths_are_formatted() -> None:
    assert format_path(("actions", 2, "arguments", 0, "value")) == "actions[2].arguments[0].value"
    assert format_path((0, "id")) == "[0].id"


def test_a_path_repeats_no_more_of_a_key_than_a_reference_has() -> None:
    assert format_path(("inputs", "r" * 255)) == f"inputs.{'r' * 255}"
    assert format_path(("inputs", "r" * 256)) == f"inputs.{'r' * 254}…"


def many(count: int) -> GatewayError:
    return bad_input(*(FieldProblem(("list", index), "is wrong") for index in range(count)))


def test_at_most_20_problems_are_listed() -> None:
    error = many(10_000)
    assert error.message.startswith("list[0]: is wrong; list[1]: is wrong; ")
    assert error.message.endswith("; list[19]: is wrong; and 9,980 more")
    problems = entry(error)["extensions"]["problems"]
    assert problems[19:] == [
        {"path": ["list", 19], "message": "is wrong"},
        {"path": [], "message": "and 9,980 more"},
    ]
    assert len(problems) == 21
    details = orjson.loads(ProcessesEnvelope().failure(error))["details"]
    assert details == problems


def test_20_problems_are_listed_in_full() -> None:
    error = many(20)
    assert error.message.endswith("; list[19]: is wrong")
    assert len(entry(error)["extensions"]["problems"]) == 20
