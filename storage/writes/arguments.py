"""Write arguments as the database stores them."""

from __future__ import annotations

from collections.abc import Sequence

import orjson


def arguments_json(arguments: Sequence[tuple[str, str]]) -> bytes:
    """Return references and values as JSON: ``[{"reference": …, "value": …}, …]``."""
    return orjson.dumps(
        [{"reference": reference, "value": value} for reference, value in arguments]
    )
