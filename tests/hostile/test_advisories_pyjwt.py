"""Send tokens as the security advisories of PyJWT of 2026 describe.

CVE-2026-48522 and CVE-2026-48524 are about ``PyJWKClient``, which fetches keys. The gateway does
not use it: ``test_advisories_aiohttp`` checks that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.auth.tokens import TokenKeys
from gateway.settings.model import SettingsError
from tests.conftest import SECRET, Gateway, settings_for_tests

Claims = dict[str, Any]


@pytest.fixture
async def claims(gateway: Gateway) -> Claims:
    """The claims of a valid token."""
    payload = (await gateway.token()).split(".")[1]
    decoded: Claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return decoded


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(
    header: object, payload: bytes, key: bytes = SECRET.encode(), digest: str = "sha256"
) -> str:
    """Return a token with any header and payload, signed as the gateway does."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    start = f"{encoded(text)}.{encoded(payload)}"
    return f"{start}.{encoded(hmac.new(key, start.encode(), digest).digest())}"


def token_of(claims: Claims, **header: Any) -> str:
    return signed({"alg": "HS256", "typ": "JWT", **header}, json.dumps(claims).encode())


async def accepts(gateway: Gateway, token: str) -> bool:
    """Whether the gateway accepts a token; if not, it says 401 and nothing else."""
    replies = [
        await gateway.call(method, path, body, profile=None, headers={"Authorization": token})
        for method, path, body in (
            ("POST", "/graphql", {"query": "{ viewer { seesAll } }"}),
            ("GET", "/process", None),
            ("GET", "/processes", None),
        )
    ]
    (status,) = {reply.status for reply in replies}
    assert status in (200, 401)
    return status == 200


async def test_the_tokens_of_these_tests_are_accepted_if_nothing_is_wrong(
    gateway: Gateway, claims: Claims
) -> None:
    assert await accepts(gateway, token_of(claims))


async def test_cve_2026_48523_other_algorithms(gateway: Gateway, claims: Claims) -> None:
    """The algorithm of the header was not the one that was verified."""
    payload = json.dumps(claims).encode()
    for algorithm, digest in (("HS384", "sha384"), ("HS512", "sha512")):
        # Signed with the right key, by another algorithm, which the header names or hides.
        for named in (algorithm, "HS256"):
            assert not await accepts(gateway, signed({"alg": named}, payload, digest=digest))
    others: list[object] = ["none", "None", "", None, 0, ["HS256"], {"HS256": 1}, "hs256", "RS256"]
    for other in others:
        header = {"alg": other}
        assert not await accepts(gateway, signed(header, payload))
        unsigned = f"{encoded(json.dumps(header).encode())}.{encoded(payload)}."
        assert not await accepts(gateway, unsigned)
    twice = b'{"alg":"HS256","alg":"none"}'
    assert not await accepts(gateway, signed(twice, payload, key=b""))
    assert not await accepts(gateway, signed({"typ": "JWT"}, payload))


async def test_cve_2026_48525_payloads_that_are_decoded_for_nothing(
    gateway: Gateway, claims: Claims
) -> None:
    """With ``b64: false``, a payload of any length was decoded before the signature was checked."""
    payload = json.dumps(claims).encode()
    for header in (
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {"alg": "HS256", "b64": False},
    ):
        for body in (payload, b"x" * 2500, b""):
            assert not await accepts(gateway, signed(header, body))
    detached = f"{encoded(json.dumps(header).encode())}..{encoded(b'x' * 32)}"
    assert not await accepts(gateway, detached)
    # What is long is not decoded at all.
    long = signed({"alg": "HS256", "b64": False, "crit": ["b64"]}, b"x" * 5000)
    keys = gateway.services.keys
    started_at = time.process_time()
    for _ in range(1000):
        with pytest.raises(Exception, match="not a token of this gateway"):
            keys.verify(long)
    assert time.process_time() - started_at < 0.5


@pytest.mark.parametrize(
    "secret",
    [
        json.dumps({"kty": "RSA", "n": "x" * 64, "e": "AQAB"}),
        json.dumps({"kty": "oct", "k": "x" * 64}),
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    ],
)
def test_cve_2026_48526_a_public_key_as_the_secret(secret: str) -> None:
    """A public key was accepted as a secret, and anyone can sign with what is public."""
    with pytest.raises(SettingsError, match=r"^token_secret: "):
        TokenKeys.from_settings(settings_for_tests(token_secret=secret))


HEADERS: dict[str, object] = {
    "an unknown critical extension": {"alg": "HS256", "crit": ["exp2"], "exp2": 1},
    "an empty list of them": {"alg": "HS256", "crit": []},
    "critical, but no list": {"alg": "HS256", "crit": "b64", "b64": True},
    "a key ID that is no text": {"alg": "HS256", "kid": 1},
    "a list": ["HS256"],
    "a text": "HS256",
    "null": None,
    "nested deeply": b'{"alg":"HS256","x":' + b"[" * 1200 + b"]" * 1200 + b"}",
    "a long number": b'{"alg":"HS256","x":' + b"9" * 2000 + b"}",
    "not UTF-8": b'{"alg":"HS256\xff"}',
    "cut off": b'{"alg":"HS256"',
    "empty": b"",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_hostile_headers(gateway: Gateway, claims: Claims, header: object) -> None:
    accepted = await accepts(gateway, signed(header, json.dumps(claims).encode()))
    assert not accepted or header is HEADERS["a long number"]


CHANGES: dict[str, Callable[[Claims], object]] = {
    "a subject": lambda claims: claims | {"sub": 1},
    "not before": lambda claims: claims | {"nbf": 9_999_999_999},
    "expiring as text": lambda claims: claims | {"exp": str(claims["exp"])},
    "expiring at a fraction": lambda claims: claims | {"exp": claims["exp"] + 0.5},
    "expiring never": lambda claims: claims | {"exp": None},
    "expiring at 10^400": lambda claims: claims | {"exp": 10**400},
    "expiring at true": lambda claims: claims | {"exp": True},
    "not expiring": lambda claims: {k: v for k, v in claims.items() if k != "exp"},
    "another audience": lambda claims: claims | {"aud": "other"},
    "two audiences": lambda claims: claims | {"aud": ["process-gateway", "other"]},
    "another issuer": lambda claims: claims | {"iss": "process-gateway-2"},
    "a part of the issuer": lambda claims: claims | {"iss": "process"},
    "an ID that is no text": lambda claims: claims | {"jti": 1},
    "an ID with a NUL": lambda claims: claims | {"jti": "a\0b"},
    "a profile as text": lambda claims: claims | {"profile": str(claims["profile"])},
    "the profile true": lambda claims: claims | {"profile": True},
    "a list": lambda claims: [claims],
    "null": lambda claims: None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_hostile_claims(
    gateway: Gateway, claims: Claims, change: Callable[[Claims], object]
) -> None:
    payload = json.dumps(change(claims)).encode()
    assert not await accepts(gateway, signed({"alg": "HS256"}, payload))


async def test_a_signature_is_not_guessed_from_its_encoding(
    gateway: Gateway, claims: Claims
) -> None:
    """Only the canonical encoding of each part is accepted."""
    start, _, signature = token_of(claims).rpartition(".")
    for changed in ("", signature[:-1], signature + "A", signature[:-1] + "!", signature.upper()):
        assert not await accepts(gateway, f"{start}.{changed}")
    digest = hashlib.sha256(start.encode()).digest()
    assert not await accepts(gateway, f"{start}.{encoded(digest)}")
    assert not await accepts(gateway, f"{start}.{signature}.{signature}")
