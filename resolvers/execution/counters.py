"""Count what the engine of this process does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

ENDS = ("succeeded", "failed", "cancelled", "interrupted")
"""The statuses of executions that have ended."""


@dataclass(slots=True)
class Counters:
    """What the engine has done since the process started."""

    admitted: int = 0
    """Executions that were recorded for callers of this process."""
    ended: Counter[str] = field(default_factory=Counter)
    """Executions that ended in this process, by status."""
    takeovers: int = 0
    """Executions that were taken over from workers that failed."""
    in_doubt: int = 0
    """Steps that ended in doubt."""
    retries: int = 0
    """Attempts of actions after the first."""
