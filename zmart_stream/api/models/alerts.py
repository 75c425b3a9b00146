"""Alerts as TradingView and bots send them: the keys in use, and what an alert is told."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, PrivateAttr

from zmart_stream.api.models import Body, Document, Reply
from zmart_stream.api.models.signals import OpinionRow

Word = str | None
Figure = float | str | None
Moment = int | float | str | None


class AlertBody(Body):
    """An alert, as a JSON object. Further members are kept with the signal; those that hold a secret are not.

    Keys go by any spelling of upper and lower case. A placeholder that TradingView did not fill is refused.
    """

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    symbol: Word = Field(None, description="The contract, as any exchange spells it: BTCUSDT, BINANCE:BTCUSDT.P ...")
    ticker: Word = Field(None, description="The same.")
    action: Word = Field(None, description="buy, long: BUY. sell, short, close, flat, exit: SELL.")
    side: Word = Field(None, description="The same.")
    signal: Word = Field(None, description="The same.")
    direction: Word = Field(None, description="The same.")
    market_position: Word = Field(None, description="long, short or flat: the state after the order; comes before it.")
    prev_market_position: Word = Field(None, description="long, short or flat: the state before it.")
    reduce_only: bool | Word = Field(
        None, description="An order that only closes; of a buy: a short, which is ignored."
    )
    strategy: Word | Document = Field(
        None,
        description="Names the source, behind the secret's own name. An object: its order_action, order_id, "
        "market_position and prev_market_position count where they do not stand beside it.",
    )
    strategy_id: Word = Field(None, description="The same.")
    order_id: Moment = Field(None, description="Two orders in one bar are two signals.")
    alert_id: Moment = Field(None, description="The same.")
    tag: Moment = Field(None, description="The same.")
    interval: Moment = Field(None, description="Of the bar: minutes, or such as 15S, 4H, 1D, 1W.")
    time: Moment = Field(None, description="When the bar began; the same alert of one bar acts once.")
    timenow: Moment = Field(None, description="When the alert fired.")
    signal_type: Word = Field(None, description="Such as BREAKOUT; without it TRADINGVIEW or OCTOBOT.")
    strength: Figure = Field(None, description="0 to 1, or percent above that.")
    signal_strength: Figure = Field(None, description="The same.")
    confidence: Figure = Field(None, description="0 to 1, or percent above that.")
    confidence_level: Figure = Field(None, description="The same.")
    expires_in_s: Figure = Field(None, description="Seconds, above 0, at most a week.")
    idempotency_key: Word = Field(None, description="Acts once, however often it is sent.")
    exchange: Word = Field(None, description="Kept with the signal; contracts are KuCoin's whatever it says.")

    _written: dict[str, str] = PrivateAttr(default_factory=dict)

    def kept(self) -> dict[str, Any]:
        """What was sent, without what has a place of its own in a signal."""
        own = {"expires_in_s", "idempotency_key"}
        return self.model_dump(exclude_none=True, exclude=own)

    def named(self, key: str) -> str:
        """A key as the sender wrote it."""
        return self._written.get(key, key)


class AlertReply(Reply):
    """What became of an alert. `accepted`: it was taken and is not on disk yet; `ignored`: it asks for nothing."""

    status: str
    signal_id: str | None
    repeated: bool
    decision: Document | None
    opinions: list[OpinionRow]
    reason: str
    detail: str
    change_id: str | None
