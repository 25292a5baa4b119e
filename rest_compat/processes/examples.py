"""Example requests and answers of the /processes dialect for its OpenAPI document.

They are written for the demo home of a new database. Sent in the order of the routes, each request
succeeds and gets the answer shown; the tests do so.
"""

from __future__ import annotations

from rest_compat.dialect import RouteExample

EXAMPLES = {
    "Processes": RouteExample(
        [
            {
                "id": 1,
                "name": "Living room lights",
                "comment": "The ceiling lamp and both wall lamps. Asks for brightness and colour to"
                " switch on.",
            },
            {
                "id": 2,
                "name": "Lampe de lecture",
                "comment": "The lamp beside the armchair, always in the same warm white.",
            },
        ]
    ),
    "UpdateProcesses": RouteExample(
        body={
            "processes": [
                {
                    "id": 1,
                    "name": "Living room",
                    "comment": "The ceiling lamp and both wall lamps.",
                },
                {"id": 2, "name": "Reading lamp"},
            ]
        }
    ),
    "UpdateProcess": RouteExample(
        path={"id": 1}, body={"name": "Living room", "comment": "All lamps of the living room."}
    ),
}
