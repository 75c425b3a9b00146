"""What the book would do about a signal (numbers.md §4): ADD, REPLACE, REMOVE, a tilt of the weight, or nothing."""

from __future__ import annotations

from zmart_stream.domain.signals import Plan, Signal
from zmart_stream.market.views import BookView


def plan_for(signal: Signal, view: BookView) -> Plan:
    """The action, with the contract that it is about; a market signal's is chosen here.

    BUY: a holding's weight goes up; another contract takes a free place, or that of the weakest holding that it may
    replace. If none may be replaced, the book will name the limit that stops it: the age of the weakest unpinned one in
    whose place the caps would let it in, or the cap itself.
    SELL: a holding leaves, a pinned one's weight goes down. `symbol` is None only where there is nothing to choose.
    """
    symbol = signal.symbol if signal.symbol is not None else _chosen(signal, view)
    if symbol is None:
        return Plan(action="NONE", reason=_nobody(signal, view))
    return _buy(symbol, view) if signal.direction == "BUY" else _sell(symbol, view)


def _chosen(signal: Signal, view: BookView) -> str | None:
    if signal.direction == "BUY":
        return view.best_candidate()
    weakest = view.weakest()
    return None if weakest is None else weakest.symbol


def _nobody(signal: Signal, view: BookView) -> str:
    """Why there is no contract to choose."""
    if signal.direction == "BUY":
        return "no_candidate"
    return "all_pinned" if view.portfolio().holdings else "empty_book"


def _buy(symbol: str, view: BookView) -> Plan:
    if view.holding(symbol) is not None:
        return Plan(action="WEIGHT_UP", symbol=symbol)
    if view.free_places() > 0:
        return Plan(action="ADD", symbol=symbol)
    out = view.replaceable_by(symbol) or view.weakest(place_for=symbol) or view.weakest()
    if out is None:
        return Plan(action="NONE", symbol=symbol, reason="all_pinned")
    return Plan(action="REPLACE", symbol=symbol, symbol_out=out.symbol)


def _sell(symbol: str, view: BookView) -> Plan:
    holding = view.holding(symbol)
    if holding is None:
        return Plan(action="NONE", symbol=symbol, reason="not_in_book")
    return Plan(action="WEIGHT_DOWN" if holding.pinned else "REMOVE", symbol=symbol)
