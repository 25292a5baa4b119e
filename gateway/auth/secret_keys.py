"""Find the keys that encrypt the secrets of sources.

They are the setting ``secret_keys``, or else the lines of a file in the data folder, newest first.
The file is created for the embedded PostgreSQL only: with an external one, the gateway may run on
several machines, which all need the same keys.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from gateway.settings.model import Settings, SettingsError
from resolvers.execution.secrets import SecretBox, new_key

_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")


def key_file(settings: Settings) -> Path:
    """Return the path of the file with the keys, which need not exist."""
    return settings.data_dir / "secret-keys"


def secret_box(settings: Settings, *, create: bool = False) -> SecretBox:
    """Return what encrypts the secrets of sources. It has no key if there is none.

    Args:
        create: Whether to create a missing key of a gateway with the embedded PostgreSQL, in a file
            that only its user can read.

    Raises:
        SettingsError: The file cannot be created or read, or contains anything else.
    """
    if settings.secret_keys is not None:
        keys = [key.strip() for key in settings.secret_keys.get_secret_value().split(",")]
        return SecretBox(lambda: keys)
    path = key_file(settings)
    if create and settings.database_url is None and not path.exists():
        add_key(path)
    return SecretBox(lambda: _read(path))


def add_key(path: Path) -> None:
    """Put a new key before those in the file, which only its user can read.

    Raises:
        SettingsError: The file cannot be read or written.
    """
    keys = [new_key(), *_read(path)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file is complete and on disk before it gets its name. If processes that start together
        # find none, the first one to name it wins.
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=path.name, delete=False
        ) as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        written = Path(file.name)
        if len(keys) > 1:
            written.replace(path)
            return
        try:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(written)
        finally:
            written.unlink()
    except OSError as error:
        raise SettingsError(f"data_dir: cannot use {path}: {error.strerror}") from error


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"data_dir: cannot use {path}: {reason}") from error
    if not all(map(_KEY.fullmatch, lines)):
        raise SettingsError(f"data_dir: {path} contains something else than keys")
    return lines
