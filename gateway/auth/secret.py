"""Create the file of the token secret."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def create_secret(path: Path) -> None:
    """Create a file with a new secret, readable by its user only, unless the file exists.

    Raises:
        OSError: The file or its folder cannot be created.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file is complete and on disk before it gets its name, and the first process to name it
    # wins: processes that start together read the same secret, and none reads half of it.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
