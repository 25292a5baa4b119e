"""Expose the metrics of one process in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway.services import Services


class Metrics:
    """The metrics of this process, collected when they are requested."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, services: Services) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_GatewayCollector(services))
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
        runs.add_metric(["compiled"], operations.compiled)
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
            operations.too_costly,
        )
        yield CounterMetricFamily(
            "gateway_statements",
            "SQL statements run.",
            self._services.database.statements,
        )
