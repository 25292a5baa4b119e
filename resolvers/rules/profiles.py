"""Define how permissions of profiles are stored."""

from __future__ import annotations

from collections.abc import Sequence

from resolvers.values.enums import Permission


def permission_words(permissions: Sequence[Permission]) -> list[str]:
    """Return permissions as they are stored: without duplicates, in the order of the enum."""
    return [permission.value for permission in Permission if permission in permissions]
