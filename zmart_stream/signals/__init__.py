"""Signals: received, judged by agents, decided by consensus, settled at their horizon.

AGENTS and DETECTORS are the tables of the built-in ones by name, agents in the order in which they are asked. A custom
one needs no entry here.
"""

from typing import Any

from zmart_stream.signals.agents.record import RecordAgent

AGENTS: dict[str, type[Any]] = {
    "record": RecordAgent,
}

DETECTORS: dict[str, type[Any]] = {}
