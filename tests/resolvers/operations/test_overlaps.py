"""Test that the linear check of overlapping fields agrees with graphql-core's rule."""

from __future__ import annotations

import random

import pytest
from graphql import OverlappingFieldsCanBeMergedRule, build_schema, parse, validate
from hypothesis import Phase, given, note
from hypothesis import strategies as st

from resolvers.operations.documents import read_document
from resolvers.operations.overlaps import is_free_of_conflicts
from tests.proof import proof

SCHEMA = build_schema("""
type Query { pet: Pet any: Any cats: [Cat!]! dog(name: String, age: Int): Dog }
interface Pet { name: String size: Int friend: Pet friends(first: Int): [Pet] }
type Cat implements Pet {
  name: String size: Int friend: Pet friends(first: Int): [Pet] color: String! home: Home age: Int
}
type Dog implements Pet {
  name: String size: Int friend: Pet friends(first: Int): [Pet] color: String home: [Home]
  age: Float
}
type Home { owner: Pet owners(first: Int): [Pet!] name: String age: Int }
union Any = Cat | Dog | Home
""")

COMPOSITE = {"pet": "Pet", "any": "Any", "cats": "Cat", "dog": "Dog", "friend": "Pet"}
COMPOSITE |= {"friends": "Pet", "home": "Home", "owner": "Pet", "owners": "Pet"}
POSSIBLE = {"Pet": ["Pet", "Cat", "Dog"], "Any": ["Cat", "Dog", "Home", "Any", "Pet"]}
CALLS = {"friends": ["", "(first: 1)", "(first: 2)"], "owners": ["", "(first: 1)"]}
CALLS["dog"] = ['(name: "a", age: 1)', '(age: 1, name: "a")', "", '(name: "b")']


def selections(chance: random.Random, parent: str, depth: int) -> str:
    """Return a random selection set, which can contain conflicts."""
    type_ = SCHEMA.type_map[parent]
    fields = [*getattr(type_, "fields", ()), "__typename"]
    parts = []
    for _ in range(chance.randint(1, 4)):
        kind = chance.random()
        if kind < 0.2 and depth > 0:
            on = chance.choice(POSSIBLE.get(parent, [parent]))
            parts.append(f"... on {on} {selections(chance, on, depth - 1)}")
        elif kind < 0.35 and parent in FRAGMENTS:
            parts.append(f"...{chance.choice(FRAGMENTS[parent])}")
        else:
            field = chance.choice(fields)
            if field in COMPOSITE and depth == 0:
                field = "__typename"
            alias = chance.choice(["", "", "", "a: ", "name: "])
            call = chance.choice(CALLS.get(field, [""]))
            below = selections(chance, COMPOSITE[field], depth - 1) if field in COMPOSITE else ""
            parts.append(f"{alias}{field}{call} {below}")
    return "{ " + " ".join(parts) + " }"


FRAGMENTS = {"Pet": ["p", "c", "d"], "Cat": ["c", "p"], "Dog": ["d", "p"], "Any": ["c", "d", "p"]}


def document(seed: int) -> str:
    """Return a random document, whose fragments can spread each other in circles."""
    chance = random.Random(seed)
    fragments = [
        f"fragment {name} on {on} {selections(chance, on, 2)}"
        for name, on in (("p", "Pet"), ("c", "Cat"), ("d", "Dog"))
    ]
    return "\n".join([selections(chance, "Query", 4), *fragments])


@proof(Phase.generate, Phase.shrink)
@given(seed=st.integers(0, 2**64 - 1))
def test_the_check_agrees_with_the_rule(seed: int) -> None:
    text = document(seed)
    note(text)
    parsed = parse(text)
    errors = validate(SCHEMA, parsed, [OverlappingFieldsCanBeMergedRule])
    assert is_free_of_conflicts(parsed, SCHEMA) == (not errors)


@pytest.mark.parametrize(
    "text",
    [
        "{ pet {" + "name " * 500 + "} }",
        "{ pet {" + "friend { name } " * 300 + "} }",
        "{ pet {"
        + " ".join(f"...f{n}" for n in range(40))
        + "} }"
        # Each fragment is compared with every other one.
        + " ".join(f"fragment f{n} on Pet {{ friend {{ name }} size }}" for n in range(40)),
    ],
    ids=["fields", "fields with fields", "fragments"],
)
def test_a_valid_document_may_repeat_fields(text: str) -> None:
    assert not read_document(text, SCHEMA).errors


def test_a_conflict_among_many_fields_is_reported() -> None:
    text = "{ pet {" + "name " * 400 + "name: size } }"
    (error,) = read_document(text, SCHEMA).errors
    assert error.message == "the document repeats fields, or spreads fragments, too often"
    (error,) = read_document("{ pet { name name: size } }", SCHEMA).errors
    assert "conflict" in error.message
