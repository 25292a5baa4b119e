"""Test tokens: issuing, verification, the secret that signs them, and the request header."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.auth.header import bearer
from gateway.auth.tokens import TokenKeys, parse_ttl
from gateway.settings.model import Settings, SettingsError
from resolvers.errors.catalogue import ErrorKind, GatewayError

SECRET = "0123456789abcdef" * 4
KEYS = TokenKeys(SECRET)
HOUR = timedelta(hours=1)


def error_of(call: Callable[[], object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value


def assert_unauthenticated(token: str) -> None:
    error = error_of(lambda: KEYS.verify(token))
    assert error.kind is ErrorKind.UNAUTHENTICATED
    assert SECRET not in error.message


def payload(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": "process-gateway",
        "aud": "process-gateway",
        "jti": "some-id",
        "iat": now,
        "exp": now + 60,
        "profile": 7,
        "name": "occupant",
    }
    return claims | changes


def signed(claims: Any, key: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm)


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def test_an_issued_token_is_verified() -> None:
    before = int(time.time())
    claims = KEYS.verify(KEYS.issue(7, "occupant", HOUR))
    assert claims.profile_id == 7
    assert before + 3600 <= claims.expires_at <= time.time() + 3600


def test_every_token_has_its_own_id() -> None:
    ids = {KEYS.verify(KEYS.issue(7, "occupant", HOUR)).token_id for _ in range(100)}
    assert len(ids) == 100


def test_a_token_with_the_longest_name_is_valid() -> None:
    assert KEYS.verify(KEYS.issue(2**31 - 1, "🏠" * 255, HOUR)).profile_id == 2**31 - 1


def test_a_token_can_be_verified_twice() -> None:
    token = KEYS.issue(7, "occupant", HOUR)
    assert KEYS.verify(token) == KEYS.verify(token)


def test_a_token_signed_with_the_secret_is_valid() -> None:
    assert KEYS.verify(signed(payload())).profile_id == 7


def test_an_expired_token_is_rejected() -> None:
    error = error_of(lambda: KEYS.verify(signed(payload(exp=int(time.time())))))
    assert error.kind is ErrorKind.TOKEN_EXPIRED


def test_a_verified_token_expires() -> None:
    token = signed(payload(exp=int(time.time()) + 2))
    KEYS.verify(token)
    time.sleep(2)
    assert error_of(lambda: KEYS.verify(token)).kind is ErrorKind.TOKEN_EXPIRED


def test_an_expired_token_signed_with_another_key_is_unauthenticated() -> None:
    assert_unauthenticated(signed(payload(exp=1), key="another secret" * 4))


@pytest.mark.parametrize(
    "change",
    [{"profile": value} for value in ("7", True, 7.0, 0, -7, 2**31, None, [7], {"id": 7})]
    + [{"exp": value} for value in ("9999999999", 9999999999.5, True, None, -1, 10**30)]
    + [{"exp": "1"}, {"iat": "1"}, {"iat": None}]
    + [{"jti": value} for value in ("", "x" * 65, 7, None, "a\0b", "a b", "ö", "id\n")]
    + [{"iss": "someone"}, {"iss": None}, {"aud": "someone"}, {"aud": ["process-gateway"]}]
    + [{"name": None}, {"nbf": 1}, {"admin": True}],
    ids=str,
)
def test_an_invalid_claim_is_rejected(change: dict[str, Any]) -> None:
    assert_unauthenticated(signed(payload(**change)))


@pytest.mark.parametrize("claim", sorted(payload()))
def test_a_missing_claim_is_rejected(claim: str) -> None:
    claims = payload()
    del claims[claim]
    assert_unauthenticated(signed(claims))


@pytest.mark.parametrize("claims", [None, [], "text", 7, [payload()]], ids=str)
def test_a_payload_that_is_not_an_object_is_rejected(claims: object) -> None:
    assert_unauthenticated(signed(claims))


def test_a_token_signed_with_another_key_is_rejected() -> None:
    error = error_of(lambda: KEYS.verify(signed(payload(), key="another secret" * 4)))
    assert error.kind is ErrorKind.UNAUTHENTICATED
    assert error.message == "the token was not signed by this gateway"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["HS256"], {}])
def test_a_token_without_an_algorithm_is_rejected(algorithm: object) -> None:
    header = part(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    body = part(json.dumps(payload()).encode())
    genuine = signed(payload()).rpartition(".")[2]
    for signature in ("", genuine):
        assert_unauthenticated(f"{header}.{body}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_rejected(algorithm: str) -> None:
    assert_unauthenticated(signed(payload(), key=SECRET * 2, algorithm=algorithm))
    assert_unauthenticated(signed(payload(), algorithm=algorithm))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "not a token",
        "ü.ü.ü",
        "\0",
        "x" * 4097,
        part(b"[" * 2900) + "." + part(b"{}") + "." + part(b"x"),
        part(b'{"alg":"HS256","x":' + b"[" * 2800) + "..",
        part(b"null") + "." + part(b"{}") + ".",
        part(b"\xff") + "." + part(b"{}") + ".",
    ],
    ids=lambda token: repr(token)[:30],
)
def test_malformed_tokens_are_rejected(token: str) -> None:
    assert_unauthenticated(token)


def test_a_deeply_nested_payload_is_rejected() -> None:
    body = b'{"profile":' + b"[" * 2000
    assert_unauthenticated(jwt.PyJWS().encode(body, SECRET, "HS256"))


def test_a_token_larger_than_4_kib_is_rejected() -> None:
    assert_unauthenticated(signed(payload(name="x" * 4000)))


@given(st.data())
def test_a_tampered_token_is_rejected(data: st.DataObject) -> None:
    token = signed(payload())
    index = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.="))
    assume(token[index] != letter)
    # The lowest bits of the last letter are padding, which the signature does not cover.
    assume(index != len(token) - 1)
    assert_unauthenticated(token[:index] + letter + token[index + 1 :])


@given(st.text())
def test_random_text_is_rejected(text: str) -> None:
    assert_unauthenticated(text)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.booleans() | st.integers() | st.floats() | st.text()
            for name in payload()
        },
    )
)
def test_random_claims_are_rejected(claims: dict[str, Any]) -> None:
    assert_unauthenticated(signed(claims))


def test_a_short_secret_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least 32 characters"):
        TokenKeys("x" * 31)


def test_the_secret_in_the_settings_is_used(tmp_path: Path) -> None:
    settings = Settings(token_secret=SecretStr(SECRET), data_dir=tmp_path / "data")
    assert TokenKeys.from_settings(settings).verify(signed(payload())).profile_id == 7
    assert not settings.data_dir.exists()


def test_the_secret_is_created_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "data")
    token = TokenKeys.from_settings(settings, create=True).issue(7, "occupant", HOUR)
    assert TokenKeys.from_settings(settings, create=True).verify(token).profile_id == 7
    file = settings.data_dir / "token-secret"
    assert list(settings.data_dir.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(file.read_text())) == 32


def test_a_missing_secret_is_not_created(tmp_path: Path) -> None:
    for folder in (tmp_path / "data", tmp_path / "file" / "data"):
        (tmp_path / "file").touch()
        with pytest.raises(SettingsError, match=f"^data_dir: there is no gateway in {folder} "):
            TokenKeys.from_settings(Settings(data_dir=folder))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from gateway.settings.model import Settings; from gateway.auth.tokens import TokenKeys;"
        "settings = Settings(data_dir=Path(sys.argv[1])); print('ready', flush=True);"
        "sys.stdin.readline(); TokenKeys.from_settings(settings, create=True);"
        "print((settings.data_dir / 'token-secret').read_text())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate()[0] for process in processes}
    assert len(secrets) == 1
    assert len(secrets.pop().strip()) == 64


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_a_file_without_a_secret_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token-secret").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^data_dir: .* contains no secret: ") as caught:
        TokenKeys.from_settings(Settings(data_dir=tmp_path))
    assert "\n" not in str(caught.value)


def test_a_data_folder_that_is_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(SettingsError, match=r"^data_dir: cannot use "):
        TokenKeys.from_settings(Settings(data_dir=tmp_path / "data"), create=True)


@pytest.mark.parametrize(
    ("text", "ttl"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("3650d", timedelta(days=3650)),
    ],
)
def test_ttls_are_parsed(text: str, ttl: timedelta) -> None:
    assert parse_ttl(text) == ttl


@pytest.mark.parametrize(
    "text",
    ["", "12", "h", "0s", "-1h", "1.5h", "1w", " 1h", "1h ", "1H", "٣h", "3651d", "9" * 99 + "d"],
)
def test_invalid_ttls_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a time such as 90s, 30m, 12h or 7d, .*got '"):
        parse_ttl(text)


@pytest.mark.parametrize(
    "header", ["a.b.c", "Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", " Bearer\ta.b.c "]
)
def test_the_header_may_have_the_bearer_scheme(header: str) -> None:
    assert bearer(header) == "a.b.c"


@pytest.mark.parametrize("header", [None, "", " ", "Bearer", "bearer "])
def test_a_header_without_a_token_is_rejected(header: str | None) -> None:
    error = error_of(lambda: bearer(header))
    assert error.kind is ErrorKind.UNAUTHENTICATED
    assert error.message.startswith("there is no token; ")


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer a b", "Bearer Bearer a"])
def test_a_header_of_another_form_is_rejected(header: str) -> None:
    error = error_of(lambda: bearer(header))
    assert error.kind is ErrorKind.UNAUTHENTICATED
    assert error.message.startswith("expected the header as ")
