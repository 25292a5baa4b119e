"""Write in every way that there is: SQL on every table, mutations and legacy routes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.reference.model import global_id
from tests.reference.rows import Row, Rows
from tests.reference.worlds import NAMES

SQL: Mapping[tuple[str, str], Sequence[str]] = {
    ("espace", "insert"): [
        "INSERT INTO espace (id, reference, name) VALUES ({new}, '{new}', {text})"
    ],
    ("espace", "update"): ["UPDATE espace SET name = {text} WHERE id = {espace}"],
    ("espace", "delete"): ["DELETE FROM espace WHERE id = {espace}"],
    ("process", "insert"): [
        "INSERT INTO process (id, reference, name, espace_id)"
        " VALUES ({new}, '{new}', {text}, {espace})",
        "INSERT INTO process (id, reference, name) SELECT {new} + n, {new} || '-' || n, {text}"
        " FROM generate_series(1, 3) AS n",
    ],
    ("process", "update"): [
        "UPDATE process SET enabled = NOT enabled WHERE id = {process}",
        "UPDATE process SET enabled = NOT enabled",
        "UPDATE process SET name = {text}, espace_id = {espace} WHERE id = {process}",
        # The actions that run it follow.
        "UPDATE process SET reference = '{new}' WHERE id = {process}",
    ],
    ("process", "delete"): [
        "DELETE FROM process WHERE id = {process}",
        "DELETE FROM process WHERE id NOT IN"
        " (SELECT subprocess_id FROM action WHERE subprocess_id IS NOT NULL) AND id % 2 = 0",
    ],
    ("action", "insert"): [
        "INSERT INTO action (id, process_id, position, source_id, action)"
        " VALUES ({new}, {process}, {new}, 2, {text})",
    ],
    ("action", "update"): [
        "UPDATE action SET enabled = NOT enabled WHERE id = {action}",
        "UPDATE action SET process_id = {process}, position = {new} WHERE id = {action}",
        "UPDATE action SET source_id = {source} WHERE id = {action} AND subprocess_id IS NULL",
    ],
    ("action", "delete"): ["DELETE FROM action WHERE id = {action}"],
    ("input", "insert"): [
        "INSERT INTO input (id, process_id, position, reference, name, type)"
        " VALUES ({new}, {process}, {new}, '{new}', {text}, 'text')",
    ],
    ("input", "update"): [
        "UPDATE input SET name = {text} WHERE id = {input}",
        # Problems of the processes that run its process.
        "UPDATE input SET required = NOT required, default_value = NULL WHERE id = {input}",
    ],
    ("input", "delete"): ["DELETE FROM input WHERE id = {input}"],
    ("authorisation", "insert"): [
        "INSERT INTO authorisation VALUES ({process}, {profile}) ON CONFLICT DO NOTHING",
        "INSERT INTO authorisation SELECT id, {profile} FROM process ON CONFLICT DO NOTHING",
    ],
    ("authorisation", "update"): [
        "UPDATE authorisation SET profile_id = {profile} WHERE process_id = {process}"
        " AND profile_id ="
        " (SELECT min(profile_id) FROM authorisation WHERE process_id = {process})",
    ],
    ("authorisation", "delete"): [
        "DELETE FROM authorisation WHERE process_id = {process}",
        "DELETE FROM authorisation WHERE profile_id = {profile}",
    ],
    ("source", "insert"): ["INSERT INTO source (id, name, kind) VALUES ({new}, '{new}', 'echo')"],
    ("source", "update"): [
        "UPDATE source SET name = '{new}' WHERE id = {source} AND NOT built_in",
        "UPDATE source SET kind = {text} WHERE id = {source} AND NOT built_in",
        "UPDATE source SET settings = '{{}}', secrets = '{{\"a\": 1}}' WHERE id = {source}",
    ],
    ("source", "delete"): ["DELETE FROM source WHERE id = {source} AND NOT built_in"],
    ("profile", "insert"): ["INSERT INTO profile (id, name) VALUES ({new}, '{new}')"],
    # The names and permissions of viewers stay: the gateways learn of them a little later.
    ("profile", "update"): ["UPDATE profile SET name = '{new}' WHERE id = {profile} AND id > 8"],
    ("profile", "delete"): ["DELETE FROM profile WHERE id = {profile} AND id > 8"],
    # The gateways leave those of other engines as they are.
    ("execution", "insert"): [
        "INSERT INTO execution (id, engine, process_id, process_reference, process_name, enabled,"
        " profile_id, profile_name)"
        " VALUES ({new}, 'none', {process}, 'r', {text}, true, {profile}, 'p')",
        # One that is nested in another one.
        "INSERT INTO execution (id, engine, process_id, process_reference, process_name, enabled,"
        " profile_name, parent_step_id, root_id) SELECT {new}, 'none', {process}, 'r', {text},"
        " true, 'p', step.id, coalesce(root_id, execution.id) FROM execution_step AS step"
        " JOIN execution ON execution.id = execution_id WHERE step.id = {execution_step}",
    ],
    ("execution", "update"): [
        "UPDATE execution SET error = {text} WHERE id = {execution}",
        "UPDATE execution SET seq = seq + 1, status = 'cancelled' WHERE id = {execution}",
    ],
    # With its steps, and the executions that they have started.
    ("execution", "delete"): ["DELETE FROM execution WHERE id = {execution}"],
    ("execution_step", "insert"): [
        "INSERT INTO execution_step (id, execution_id, position, source_name, action)"
        " VALUES ({new}, {execution}, {new}, 'echo', {text})",
    ],
    ("execution_step", "update"): [
        "UPDATE execution_step SET result = '[{new}]' WHERE id = {execution_step}",
        "UPDATE execution_step SET in_doubt = NOT in_doubt, status = 'succeeded'"
        " WHERE id = {execution_step}",
    ],
    ("execution_step", "delete"): ["DELETE FROM execution_step WHERE id = {execution_step}"],
    ("input", "truncate"): ["TRUNCATE input"],
    ("action", "truncate"): ["TRUNCATE action"],
    ("authorisation", "truncate"): ["TRUNCATE authorisation"],
    ("execution", "truncate"): ["TRUNCATE execution CASCADE"],
    ("execution_step", "truncate"): ["TRUNCATE execution_step CASCADE"],
}
"""Statements that may change rows of a table, for each event. Some fail, which changes nothing."""

OTHER_SQL = (
    "SELECT compact_changes(0)",
    "BEGIN; {one}; ROLLBACK",
    "BEGIN; {one}; {other}; COMMIT",
    "BEGIN; {one}; SAVEPOINT s; {other}; ROLLBACK TO s; COMMIT",
)


@dataclass(frozen=True)
class Request:
    """A request that may change something."""

    method: str
    path: str
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body}"


class Writer:
    """Chooses writes for rows that exist."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._new = 2000

    def sql(self, rows: Rows) -> str:
        """Return one or more statements."""
        if self.chance.random() < 0.7:
            return self.statement(rows, self.chance.choice(list(SQL)))
        template = self.chance.choice(OTHER_SQL)
        one, other = (self.statement(rows, self.chance.choice(list(SQL))) for _ in range(2))
        return template.format(one=one, other=other)

    def statement(self, rows: Rows, kind: tuple[str, str]) -> str:
        """Return a statement of this kind, such as ``("process", "update")``."""
        values: dict[str, object] = {
            table: self._id(rows[table]) for table in rows if table != "authorisation"
        }
        text = self.chance.choice(NAMES).replace("'", "''").replace("\\", "\\\\")
        return self.chance.choice(SQL[kind]).format(**values, new=self._fresh(), text=f"E'{text}'")

    def request(self, rows: Rows) -> Request:
        """Return a mutation or a request to a legacy route."""
        ids = {table: self._id(rows[table]) for table in rows if table != "authorisation"}
        process, text = ids["process"], f"{self.chance.choice(NAMES)[:200]}{self._fresh()}"
        name = global_id("Process", process)
        mutations: Sequence[tuple[str, dict[str, Any]]] = (
            (
                "mutation($id: ID!, $text: String!) { updateProcess(id: $id, changes:"
                " {name: $text, state: ENABLED}) { process { name } } }",
                {"id": name, "text": text},
            ),
            (
                "mutation($text: String!) { createProcess(process: {reference: $text, name: $text,"
                ' actions: [{source: "echo", action: "say"}]}) { process { id } } }',
                {"text": text.strip()},
            ),
            ("mutation($id: ID!) { deleteProcess(id: $id) { deletedId } }", {"id": name}),
            (
                "mutation($id: ID!, $text: String!) { addInput(process: $id, input:"
                ' {name: $text, type: "text"}) { input { id } } }',
                {"id": name, "text": text},
            ),
            (
                "mutation($id: ID!) { authoriseProfile(process: $id, profile: {name:"
                ' "keeper"}) { process { id } } }',
                {"id": name},
            ),
            (
                "mutation($id: ID!) { unauthoriseProfile(process: $id) { process { id } } }",
                {"id": name},
            ),
            (
                "mutation($id: ID!, $text: String!) { updateEspace(id: $id, changes:"
                " {name: $text}) { espace { id } } }",
                {"id": global_id("Espace", ids["espace"]), "text": text},
            ),
            ("mutation($id: ID!) { executeProcess(id: $id) { execution { id } } }", {"id": name}),
        )
        bodies: Sequence[Request] = (
            Request("PUT", "/processes", {"processes": [{"id": process, "name": text}]}),
            Request("PUT", f"/processes/{process}", {"comment": text}),
            Request("POST", f"/process/{process}/inputs", {"name": text, "type": "text"}),
            Request("DELETE", f"/process/{process}/inputs/{ids['input']}"),
            Request("DELETE", f"/process/{process}/actions/{ids['action']}"),
            Request("POST", f"/process/{process}/profiles", {"idProfile": 5}),
            Request("DELETE", f"/process/{process}/profiles"),
            Request("POST", f"/process/{process}/execute", {}),
            Request("DELETE", f"/process/{process}"),
            *(
                Request("POST", "/graphql", {"query": query, "variables": variables})
                for query, variables in mutations
            ),
        )
        return self.chance.choice(bodies)

    def _id(self, rows: Sequence[Row]) -> int:
        ids: list[int] = [row["id"] for row in rows] or [1]
        return self.chance.choice(ids)

    def _fresh(self) -> int:
        self._new += 10
        return self._new
