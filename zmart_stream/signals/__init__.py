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
from zmart_stream.signals.detectors.breakout import BreakoutDetector
from zmart_stream.signals.detectors.funding_flip import FundingFlipDetector
from zmart_stream.signals.detectors.new_listing import NewListingDetector
from zmart_stream.signals.detectors.rsi_divergence import RsiDivergenceDetector
from zmart_stream.signals.detectors.spread_collapse import SpreadCollapseDetector
from zmart_stream.signals.detectors.volume_spike import VolumeSpikeDetector

AGENTS: dict[str, type[Any]] = {
    "technical": TechnicalAgent,
    "fundamental": FundamentalAgent,
    "structure": StructureAgent,
    "risk": RiskAgent,
    "fit": FitAgent,
    "record": RecordAgent,
}

DETECTORS: dict[str, type[Any]] = {
    "breakout": BreakoutDetector,
    "rsi_divergence": RsiDivergenceDetector,
    "volume_spike": VolumeSpikeDetector,
    "funding_flip": FundingFlipDetector,
    "spread_collapse": SpreadCollapseDetector,
    "new_listing": NewListingDetector,
}
