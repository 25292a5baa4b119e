"""In charge of what writes mean: the rules of the model, one function for each thing to do.

Every function runs inside the caller's transaction; a ``GatewayError`` rolls all of it back. The
path that an error is located at is that of the mutation's arguments (``at``).
"""

from __future__ import annotations

from collections.abc import Sequence

from resolvers.values.enums import Permission


def permission_words(permissions: Sequence[Permission]) -> list[str]:
    """Permissions as they are stored: each once, in the order of the enum."""
    return [permission.value for permission in Permission if permission in permissions]
