"""In charge of tokens: signing one for a profile, and telling who sent one.

A token is a JWT, signed with HS256, that names a profile and ends at a set time. Nothing here asks
the database: whether a good token was revoked, and what its profile may do, is looked up later.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def read_or_make_secret(path: Path) -> str:
    """The secret in a file, which is created with a new secret if it does not exist."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole and on disk before it has its name, and the name is taken once: of two processes
        # that start together one makes the secret, and neither reads half of it.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(file.name)
    return path.read_text(encoding="utf-8").strip()
