"""The agent that reads trend, momentum and volume."""

from __future__ import annotations

from zmart_stream.market.contract_state import Moves
from zmart_stream.signals.agents.component import ComponentAgent


class TechnicalAgent(ComponentAgent):
    """The technical component and its change over 4 bars."""

    component = "technical"
    feeds_on = (Moves.TRADE,)
