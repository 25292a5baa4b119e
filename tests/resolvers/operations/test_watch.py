"""Test the watcher: what it reports, and when it asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from resolvers.operations.watch import Watcher
from storage.database.database import Database
from storage.database.errors import DatabaseUnavailableError, StorageError
from storage.reads.dependencies import Dependency, Domain
from tests.resolvers.home import until

ESPACES = Dependency(Domain.ESPACE)
HALL = Dependency(Domain.PROCESS, reference="hall")
FIRST = Dependency(Domain.PROCESS, shard=1)


@dataclass
class Recorder:
    """Records what is reported."""

    reports: list[frozenset[Dependency]] = field(default_factory=list)
    failures: list[StorageError] = field(default_factory=list)
    refuses: int = 0
    """The number of reports that are refused."""

    def tick_begins(self) -> None:
        pass

    async def tick_ends(self, changed: frozenset[Dependency]) -> None:
        if changed and self.refuses:
            self.refuses -= 1
            raise DatabaseUnavailableError("refused")
        if changed:
            self.reports.append(changed)

    def tick_failed(self, error: StorageError) -> None:
        self.failures.append(error)

    async def next(self) -> frozenset[Dependency]:
        """Return the next report of a change."""

        async def reported() -> bool:
            return bool(self.reports)

        await until(reported)
        return self.reports.pop(0)


async def write(database: Database, statement: str) -> None:
    async with database.transaction() as transaction:
        await transaction.fetch(statement)


async def test_each_change_is_reported_once_with_what_it_concerns(database: Database) -> None:
    recorder = Recorder()
    watcher = Watcher(database, 0.02, recorder)
    watcher.add([ESPACES, HALL, FIRST])
    assert await recorder.next() == {ESPACES, HALL, FIRST}  # nothing was known before
    await write(database, "INSERT INTO espace (reference, name) VALUES ('e', 'E')")
    assert await recorder.next() == {ESPACES}
    await write(database, "INSERT INTO process (id, reference, name) VALUES (7, 'hall', 'Hall')")
    assert await recorder.next() == {HALL}
    await write(database, "INSERT INTO process (id, reference, name) VALUES (65, 'attic', 'A')")
    assert await recorder.next() == {FIRST}
    ticks = watcher.ticks

    async def ticked() -> bool:
        return watcher.ticks > ticks + 3

    await until(ticked)
    assert recorder.reports == []
    await watcher.close()


async def test_a_report_that_fails_is_repeated(database: Database) -> None:
    recorder = Recorder()
    watcher = Watcher(database, 0.02, recorder)
    watcher.add([ESPACES])
    await recorder.next()
    recorder.refuses = 2
    await write(database, "INSERT INTO espace (reference, name) VALUES ('e', 'E')")
    assert await recorder.next() == {ESPACES}
    assert len(recorder.failures) == 2
    await watcher.close()


async def test_a_tree_is_reported_again_after_a_report_that_failed(database: Database) -> None:
    tree = Dependency(Domain.EXECUTION, in_tree=1)
    await write(
        database,
        "INSERT INTO execution (id, process_reference, process_name, enabled, profile_name)"
        " VALUES (1, 'one', 'One', true, 'admin'), (65, 'one', 'One', true, 'admin')",
    )
    recorder = Recorder()
    watcher = Watcher(database, 0.02, recorder)
    watcher.add([tree])
    await recorder.next()
    recorder.refuses = 1
    await write(database, "UPDATE execution SET seq = 1 WHERE id = 1")
    assert await recorder.next() == {tree}
    assert len(recorder.failures) == 1
    await write(database, "UPDATE execution SET seq = 1 WHERE id = 65")  # in the same shard
    await write(database, "INSERT INTO espace (reference, name) VALUES ('e', 'E')")
    watcher.add([ESPACES])
    assert await recorder.next() == {ESPACES}
    await watcher.close()


async def test_it_asks_only_while_something_is_watched(database: Database) -> None:
    recorder = Recorder()
    watcher = Watcher(database, 0.02, recorder)
    before = database.statements
    await asyncio.sleep(0.1)
    assert database.statements == before
    for _ in range(2):
        watcher.add([ESPACES])
        watcher.add([ESPACES])
        watcher.remove([ESPACES])
        assert await recorder.next() == {ESPACES}
        watcher.remove([ESPACES])
        await asyncio.sleep(0.1)
        stopped = database.statements
        await asyncio.sleep(0.1)
        assert database.statements == stopped
    await watcher.close()


async def test_a_tick_without_changes_is_one_statement(database: Database) -> None:
    recorder = Recorder()
    watcher = Watcher(database, 0.02, recorder)
    watcher.add([Dependency(Domain.PROCESS, reference=f"p{n}") for n in range(500)])
    await recorder.next()
    ticks, statements = watcher.ticks, database.statements

    async def ticked() -> bool:
        return watcher.ticks > ticks + 5

    await until(ticked)
    assert database.statements - statements <= watcher.ticks - ticks + 1
    await watcher.close()


async def test_a_write_of_the_same_process_wakes_it(database: Database) -> None:
    recorder = Recorder()
    watcher = Watcher(database, 10, recorder)  # a test waits for at most half of it
    database.when_written = watcher.wake
    watcher.add([ESPACES])
    await recorder.next()
    await write(database, "INSERT INTO espace (reference, name) VALUES ('e', 'E')")
    assert await recorder.next() == {ESPACES}
    await watcher.close()
