"""The agent that reads volume growth, open interest, funding and basis."""

from __future__ import annotations

from zmart_stream.market.contract_state import Moves
from zmart_stream.signals.agents.component import ComponentAgent


class FundamentalAgent(ComponentAgent):
    """The fundamental component and its change over 4 bars."""

    component = "fundamental"
    feeds_on = (Moves.POLL, Moves.SETTLEMENT, Moves.MARK)
