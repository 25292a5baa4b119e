"""Measure how long the requests of an honest client take.

This is a process of its own, so that an attack that a test makes does not keep it waiting before it
reaches the gateway. Usage: ``python -m tests.hostile.honest_client HOST PORT REQUESTS QUANTILES``,
with the request on standard input. Prints the time that few requests exceed, in seconds: the last
of ``QUANTILES`` quantiles.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from typing import BinaryIO


def main() -> None:
    """Measure, and print the result."""
    host, port, requests, quantiles = sys.argv[1:]
    request = sys.stdin.buffer.read()
    times = []
    with (
        socket.create_connection((host, int(port))) as connection,
        connection.makefile("rb") as response,
    ):
        for _ in range(int(requests)):
            started_at = time.perf_counter()
            connection.sendall(request)
            _read(response)
            times.append(time.perf_counter() - started_at)
    sys.stdout.write(f"{statistics.quantiles(times, n=int(quantiles))[-1]}\n")


def _read(response: BinaryIO) -> None:
    status = response.readline()
    assert status.startswith(b"HTTP/1.1 200 "), status
    length = 0
    while line := response.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    assert len(response.read(length)) == length > 0


if __name__ == "__main__":
    main()
