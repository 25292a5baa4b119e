"""The error catalogue and its documentation are the same table."""

from __future__ import annotations

import re
from pathlib import Path

from resolvers.errors.catalogue import ErrorKind, FieldProblem, bad_input, format_path
from rest_compat.errors import ERROR_CODES, PROCESSES_MESSAGES

ROOT = Path(__file__).parents[3]


def documented() -> dict[str, tuple[str, ...]]:
    """The rows of the table in docs/errors.md, by GraphQL code."""
    rows = {}
    for line in (ROOT / "docs" / "errors.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[1].startswith("`") and cells[2].startswith("`"):
            rows[cells[1].strip("`")] = tuple(cells)
    return rows


def test_every_error_is_documented_as_it_is() -> None:
    rows = documented()
    assert set(rows) - {"extensions.code"} >= {kind.name for kind in ErrorKind}
    for kind in ErrorKind:
        codes = ERROR_CODES[kind]
        summary, graphql, process, processes, status = rows[kind.name]
        assert summary == kind.value
        assert graphql == f"`{kind.name}`"
        assert process == f"`{codes.process}`"
        assert processes == f"{codes.processes}: {PROCESSES_MESSAGES[codes.processes]}"
        assert [int(number) for number in re.findall(r"\b\d{3}\b", status)] == [
            codes.status,
            *([codes.processes_status] if codes.processes_status else []),
        ]


def test_nothing_is_documented_that_does_not_exist() -> None:
    names = {kind.name for kind in ErrorKind}
    assert {name for name in documented() if name.isupper()} == names


def test_the_process_dialect_has_a_code_for_each_error() -> None:
    codes = [ERROR_CODES[kind].process for kind in ErrorKind]
    assert len(set(codes)) == len(codes)


def test_a_path_reads_as_a_person_would_write_it() -> None:
    assert format_path(("actions", 2, "arguments", 0, "value")) == "actions[2].arguments[0].value"
    assert format_path((0, "id")) == "[0].id"


def test_a_message_with_very_many_problems_stays_short() -> None:
    error = bad_input(*(FieldProblem(("list", place), "is wrong") for place in range(1000)))
    assert error.message.endswith("; and 990 more")
    assert len(error.problems) == 1000
