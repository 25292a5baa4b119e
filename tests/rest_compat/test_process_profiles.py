"""Test authorizing profiles on processes (docs/process-audits.md, PROC-048 to PROC-052)."""

from __future__ import annotations

from typing import Any

from tests.rest_compat.api import UNKNOWN_ID, Api


async def test_proc_048_authorizes_a_profile_in_every_form(api: Api) -> None:
    forms: list[Any] = [3, "3", "guest", {"id": 3}, {"id": "3"}, {"name": "guest"}]
    for index, form in enumerate(forms):
        process = await api.process(f"p{index}")
        for _ in range(2):
            body = {"idProfile": form}
            assert await api.ok("POST", f"/process/{process}/profiles", body) is None
        assert (await api.get_process(process))["profiles"] == [{"id": 3, "name": "guest"}]


async def test_proc_049_rejects_an_unknown_profile(api: Api) -> None:
    process = await api.process()
    cases: list[tuple[Any, str]] = [
        ({}, "idProfile: is required"),
        ({"idProfile": None}, "idProfile: is required"),
        ({"idProfile": UNKNOWN_ID}, "idProfile: there is no such profile"),
        ({"idProfile": "nobody"}, "idProfile: there is no such profile"),
        ({"idProfile": 0}, "idProfile: expected an id from 1 to 2147483647, got 0"),
        ({"idProfile": [3]}, "idProfile: expected the id or the name of a profile"),
    ]
    for body, message in cases:
        assert message in await api.invalid("POST", f"/process/{process}/profiles", body)


async def test_proc_050_unauthorizes_one_profile(api: Api) -> None:
    requests: list[tuple[str, Any]] = [
        ("", {"idProfile": "3"}),
        ("?idProfile=3", None),
        ("/3", None),
        ("/guest", None),
        ("?idProfile=guest", None),
    ]
    for index, (suffix, body) in enumerate(requests):
        process = await api.process(f"p{index}", profiles=["guest", "occupant"])
        for _ in range(2):
            assert await api.ok("DELETE", f"/process/{process}/profiles{suffix}", body) is None
        assert (await api.get_process(process))["profiles"] == [{"id": 2, "name": "occupant"}]


async def test_proc_051_unauthorizes_all_profiles(api: Api) -> None:
    other = await api.process(profiles=["guest"])
    for reference, body in (("a", None), ("b", {})):
        process = await api.process(reference, profiles=["guest", "occupant"])
        assert await api.ok("DELETE", f"/process/{process}/profiles", body) is None
        assert (await api.get_process(process))["profiles"] == []
    assert len((await api.get_process(other))["profiles"]) == 1


async def test_proc_052_rejects_an_invalid_profile_instead_of_removing_all(api: Api) -> None:
    process = await api.process(profiles=["guest"])
    path = f"/process/{process}/profiles"
    for body in (b"null", b"[]", b"{", {"idProfile": 0}, {"idProfile": "nobody"}):
        await api.invalid("DELETE", path, body)
    for query in ("idProfile=", "idProfile=0", "idProfile=nobody", f"idProfile={UNKNOWN_ID}"):
        assert (await api.invalid("DELETE", f"{path}?{query}")).startswith("idProfile: ")
    message = await api.invalid("DELETE", f"{path}?idProfile=3", {"idProfile": 3})
    assert message == "idProfile: is given twice, in the query and in the body"
    for segment in ("0", str(UNKNOWN_ID), "nobody", "99999999999"):
        await api.not_found("DELETE", f"{path}/{segment}")
