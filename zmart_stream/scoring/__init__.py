"""Scores: raw part values by scorers, one map to percentiles, components, the composite.

SCORERS is the table of the built-in scorers by name. A custom one needs no entry here: see docs/custom-scorers.md.
"""

from typing import Any

from zmart_stream.scoring.fundamental import FundamentalScorer
from zmart_stream.scoring.risk import RiskScorer
from zmart_stream.scoring.structure import StructureScorer
from zmart_stream.scoring.technical import TechnicalScorer

SCORERS: dict[str, type[Any]] = {
    "technical": TechnicalScorer,
    "fundamental": FundamentalScorer,
    "structure": StructureScorer,
    "risk": RiskScorer,
}
