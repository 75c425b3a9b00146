"""Signals: received, judged by agents, decided by consensus, settled at their horizon.

AGENTS and DETECTORS are the tables of the built-in ones by name, agents in the order in which they are asked. A custom
one needs no entry here.
"""

from typing import Any

from zmart_stream.signals.agents.fit import FitAgent
from zmart_stream.signals.agents.fundamental import FundamentalAgent
from zmart_stream.signals.agents.record import RecordAgent
from zmart_stream.signals.agents.risk import RiskAgent
from zmart_stream.signals.agents.structure import StructureAgent
from zmart_stream.signals.agents.technical import TechnicalAgent

AGENTS: dict[str, type[Any]] = {
    "technical": TechnicalAgent,
    "fundamental": FundamentalAgent,
    "structure": StructureAgent,
    "risk": RiskAgent,
    "fit": FitAgent,
    "record": RecordAgent,
}

DETECTORS: dict[str, type[Any]] = {}
