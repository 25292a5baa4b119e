"""Test that a transition whose text is kept is the one that would be built."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest

from storage.execution import journal
from storage.execution.journal import Fence, transition
from storage.execution.writes import (
    Ending,
    EndNested,
    EndStep,
    FailedAttempt,
    Flip,
    RepeatStep,
    StartStep,
    Write,
)

_FENCE = Fence(7, 3, uuid.uuid4())
_START = StartStep(7, 2, "lamp", "on", b"[]", None)
_SKIPPED = StartStep(8, 4, "lamp", "off", b"[1]", 5, "skipped")
_END = EndStep(7, 1, "succeeded", b"{}")
_FAILED = EndStep(8, 3, "failed", None, "it failed", "source_failed", in_doubt=True)
_ENDING = Ending("failed", "it failed", "source_failed")


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize("releases", [False, True])
@pytest.mark.parametrize("end", [None, _ENDING, Ending("succeeded", flip=Flip(1, enabled=True))])
@pytest.mark.parametrize(
    "writes",
    [
        [],
        [_START],
        [_SKIPPED],
        [_END, _START],
        [_FAILED, _SKIPPED],
        [_START, _END],
        [_END],
        [_FAILED],
        [_END, _FAILED, _END],
        [RepeatStep(7, 1, FailedAttempt("it failed", "interrupted", in_doubt=True))],
        [_END, EndNested(8, 3, _ENDING)],
    ],
)
def test_a_transition_is_the_same_whether_its_text_is_kept_or_built(
    writes: Sequence[Write], end: Ending | None, starts: bool, releases: bool
) -> None:
    built = journal._built(_FENCE, writes, starts, end, releases)
    for _ in range(2):  # the second time its text is kept
        assert transition(_FENCE, writes, starts=starts, end=end, releases=releases) == built
