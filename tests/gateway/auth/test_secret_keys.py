"""Test the keys of the secrets of sources: the setting, the file, and the command ``secrets``."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from gateway.auth.secret_keys import add_key, key_file, secret_box
from gateway.settings.model import Settings, SettingsError
from resolvers.execution.secrets import SecretError, new_key
from tests.conftest import database_copy
from tests.gateway.programs import run

SECRETS = {"token": "s3cret"}


def settings(data_dir: Path, *keys: str, external: bool = False) -> Settings:
    return Settings(
        data_dir=data_dir,
        secret_keys=SecretStr(",".join(keys)) if keys else None,
        database_url=SecretStr("postgresql://db/home") if external else None,
    )


def test_the_first_start_creates_a_key(tmp_path: Path) -> None:
    own = settings(tmp_path / "data")
    sealed = secret_box(own, create=True).seal(1, SECRETS)
    path = key_file(own)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret-keys"]
    assert secret_box(own, create=True).open(1, sealed) == SECRETS
    assert secret_box(own).open(1, sealed) == SECRETS


def test_a_new_key_comes_before_the_others(tmp_path: Path) -> None:
    own = settings(tmp_path)
    opening = secret_box(own, create=True)
    old = opening.seal(1, SECRETS)
    add_key(key_file(own))
    assert stat.S_IMODE(key_file(own).stat().st_mode) == 0o600
    assert len(key_file(own).read_text().split()) == 2
    assert secret_box(own).open(1, old) == SECRETS
    assert opening.open(1, secret_box(own).seal(1, SECRETS)) == SECRETS


def test_no_key_is_created_for_an_external_database(tmp_path: Path) -> None:
    own = settings(tmp_path, external=True)
    with pytest.raises(SecretError):
        secret_box(own, create=True).seal(1, SECRETS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SecretError):
        secret_box(settings(tmp_path)).seal(1, SECRETS)
    assert list(tmp_path.iterdir()) == []


def test_the_setting_replaces_the_file(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    sealed = secret_box(settings(tmp_path, old), create=True).seal(1, SECRETS)
    assert list(tmp_path.iterdir()) == []
    assert secret_box(settings(tmp_path, new, f" {old} ")).open(1, sealed) == SECRETS
    with pytest.raises(SecretError):
        secret_box(settings(tmp_path, new)).open(1, sealed)


def test_a_file_without_keys_is_reported(tmp_path: Path) -> None:
    own = settings(tmp_path)
    key_file(own).write_text("no key\n")
    with pytest.raises(SettingsError, match=r"secret-keys contains something else than keys$"):
        secret_box(own)
    key_file(own).write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"secret-keys: it is not text$"):
        secret_box(own)
    key_file(own).unlink()
    key_file(own).mkdir()
    with pytest.raises(SettingsError, match=r"secret-keys: Is a directory$"):
        secret_box(own)


async def test_the_command_encrypts_anew(postgres: str, template: str, tmp_path: Path) -> None:
    printed = run("secrets", "key", cwd=tmp_path)
    assert printed.returncode == 0
    old, new = printed.stdout.strip(), new_key()
    sealed = json.dumps(secret_box(settings(tmp_path, old)).seal(100, SECRETS))
    async with database_copy(postgres, template) as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(
                "INSERT INTO source (id, name, kind, secrets) VALUES (100, 'door', 'http', $1)",
                sealed,
            )
            refused = run(
                *("secrets", "rotate", "--database-url", url),
                variables={"GATEWAY_SECRET_KEYS": new},
            )
            assert refused.returncode == 1
            assert refused.stderr == (
                'process-gateway: secret_keys: source "door": the secret token was encrypted with a'
                " key that is not known here\n"
            )
            rotated = run(
                *("secrets", "rotate", "--database-url", url),
                variables={"GATEWAY_SECRET_KEYS": f"{new},{old}"},
            )
            assert (rotated.returncode, rotated.stdout) == (
                0,
                "encrypted the secrets of 1 sources\n",
            )
            stored = await connection.fetchval("SELECT secrets FROM source WHERE id = 100")
        finally:
            await connection.close()
    assert secret_box(settings(tmp_path, new)).open(100, json.loads(stored)) == SECRETS
