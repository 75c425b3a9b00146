"""What the measured processes have in common: percentiles, lateness of the loop, and orders by standard input."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

LAG_STEP_S = 0.005


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie; nan if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def rss_mb(pid: int | str = "self") -> float:
    """Resident memory of a process in MB; where the system has no /proc, this process's peak."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


class Stolen:
    """What a host took of this machine's processors since this was made; nan where the system does not say."""

    def __init__(self) -> None:
        self._began = self._ticks()

    def share(self) -> float:
        """In percent of the time of all processors."""
        before, after = self._began, self._ticks()
        total = sum(after) - sum(before)
        return 100.0 * (after[7] - before[7]) / total if total else float("nan")

    @staticmethod
    def _ticks() -> list[int]:
        """Of user, nice, system, idle, iowait, irq, softirq, steal."""
        try:
            with open("/proc/stat", encoding="ascii") as stat:
                return [int(field) for field in stat.readline().split()[1:9]]
        except OSError:
            return [0] * 8


class Lag:
    """How late the loop wakes a sleeper."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []

    async def watch(self) -> None:
        while True:
            due = time.monotonic() + LAG_STEP_S
            await asyncio.sleep(LAG_STEP_S)
            self.late_ms.append((time.monotonic() - due) * 1e3)


async def obey(orders: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Answer one JSON line on standard output for each on standard input, until it closes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        sys.stdout.write(msgspec.json.encode(await orders(msgspec.json.decode(line))).decode() + "\n")
        sys.stdout.flush()
