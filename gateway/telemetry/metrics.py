"""Expose the metrics of one process in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.http.live.registry import Registry
from gateway.services import Services
from resolvers.execution.counters import ENDS
from resolvers.execution.engine import ExecutionEngine
from resolvers.operations.reads import Reads
from resolvers.operations.subscribe import Subscriptions


class Metrics:
    """The metrics of this process, collected when they are requested."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, services: Services, connected: Registry) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_GatewayCollector(services))
        self._registry.register(_LiveCollector(services.subscriptions, connected))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)


class _GatewayCollector(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        operations = self._services.operations
        runs = CounterMetricFamily(
            "gateway_operations",
            "Operations run, including those of legacy routes, by execution path.",
            labels=["path"],
        )
        runs.add_metric(["compiled"], operations.queries.compiled)
        runs.add_metric(["executor"], operations.executed)
        yield runs
        compiler = operations.compiler
        cache = compiler.cache_info()
        yield CounterMetricFamily(
            "gateway_compiled_hits", "Queries whose compiled operation was cached.", compiler.hits
        )
        yield CounterMetricFamily(
            "gateway_compiled_misses", "Queries that had to be compiled.", compiler.misses
        )
        yield GaugeMetricFamily("gateway_documents_kept", "Documents in the cache.", cache.size)
        yield GaugeMetricFamily(
            "gateway_documents_bytes",
            "Memory of the cached documents and their compiled queries, as estimated.",
            cache.bytes,
        )
        yield CounterMetricFamily(
            "gateway_operations_too_costly",
            "Queries whose cost was above max_query_cost.",
            operations.queries.too_costly,
        )
        yield from _of_reads(operations.reads)
        yield from _of_executions(self._services.executions)
        yield CounterMetricFamily(
            "gateway_statements",
            "SQL statements run.",
            self._services.database.statements,
        )


def _of_reads(reads: Reads) -> Iterator[Metric]:
    """Yield the metrics of the answers that are kept."""
    yield CounterMetricFamily(
        "gateway_answers_hits",
        "Answers that had not changed: sent from memory, or not sent because the client has them.",
        reads.hits,
    )
    yield CounterMetricFamily(
        "gateway_answers_misses", "Answers that were read from the database.", reads.misses
    )
    yield GaugeMetricFamily("gateway_answers_kept", "Answers that are kept.", len(reads.kept))
    yield GaugeMetricFamily(
        "gateway_answers_bytes", "Memory of the kept answers, as estimated.", reads.kept.bytes
    )
    yield CounterMetricFamily(
        "gateway_answers_audits",
        "Kept answers that were compared with the database.",
        reads.audits,
    )
    yield CounterMetricFamily(
        "gateway_answers_mismatches",
        "Kept answers that differed from the database although nothing was logged as changed.",
        reads.mismatches,
    )


def _of_executions(engine: ExecutionEngine) -> Iterator[Metric]:
    """Yield the metrics of the executions of this process."""
    counters = engine.counters
    yield CounterMetricFamily(
        "gateway_executions_admitted",
        "Executions that were recorded for callers.",
        counters.admitted,
    )
    yield GaugeMetricFamily(
        "gateway_executions_running", "Executions that this process runs.", engine.running
    )
    ended = CounterMetricFamily(
        "gateway_executions_ended",
        "Executions that ended in this process, by status.",
        labels=["status"],
    )
    for status in ENDS:
        ended.add_metric([status], counters.ended[status])
    yield ended
    yield CounterMetricFamily(
        "gateway_executions_taken_over",
        "Executions that this process took over from workers that failed.",
        counters.takeovers,
    )
    yield CounterMetricFamily(
        "gateway_steps_in_doubt",
        "Steps whose effect may or may not have happened.",
        counters.in_doubt,
    )
    yield CounterMetricFamily(
        "gateway_steps_retried", "Attempts of actions after the first.", counters.retries
    )


class _LiveCollector(Collector):
    """The metrics of subscriptions and of the connections that they use."""

    def __init__(self, subscriptions: Subscriptions, connected: Registry) -> None:
        self._subscriptions = subscriptions
        self._connected = connected

    def collect(self) -> Iterator[Metric]:
        live, watcher = self._subscriptions, self._subscriptions.watcher
        yield GaugeMetricFamily(
            "gateway_sockets", "Open WebSockets.", value=self._connected.sockets
        )
        yield GaugeMetricFamily(
            "gateway_event_streams", "Open streams of events.", value=self._connected.streams
        )
        yield GaugeMetricFamily("gateway_subscriptions", "Subscriptions.", value=live.count)
        yield GaugeMetricFamily(
            "gateway_live_answers", "Different answers of all subscriptions.", value=live.distinct
        )
        yield CounterMetricFamily(
            "gateway_subscription_events", "Answers given to subscriptions.", live.events
        )
        yield CounterMetricFamily(
            "gateway_live_reads", "Statements run for subscriptions.", live.reads
        )
        yield CounterMetricFamily(
            "gateway_watch_ticks", "Looks at what has changed.", watcher.ticks
        )
        yield CounterMetricFamily(
            "gateway_watch_seconds", "Time that these looks took.", watcher.seconds
        )
