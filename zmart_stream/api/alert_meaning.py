"""What an alert asks for: contract, direction, figures, and what makes two alerts the same."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from zmart_stream.api.alerts import refuse
from zmart_stream.api.models.alerts import AlertBody
from zmart_stream.domain.signals import Direction
from zmart_stream.signals.validation import MOST_EXPIRY_S

NS = 1_000_000_000

BUYS = frozenset({"buy", "long", "enter_long", "open_long"})
SELLS = frozenset({"sell", "short", "close", "flat", "exit", "close_long", "exit_long", "enter_short", "open_short"})
NOTHING = {
    "cancel": "there are no orders here to cancel",
    "cover": "closing a short says nothing to a book that only buys",
    "close_short": "closing a short says nothing to a book that only buys",
    "exit_short": "closing a short says nothing to a book that only buys",
}
"""Words that ask for nothing that a book can do, and why."""

_ACTIONS = ("action", "side", "signal", "direction")
_POSITIONS = ("long", "short", "flat")
_NUMBER = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\s*(%?)", re.ASCII)
_INTERVAL = re.compile(r"([0-9]{0,5})([SHDW]?)", re.ASCII)
_UNIT_S = {"S": 1, "": 60, "H": 3600, "D": 86400, "W": 7 * 86400}


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How alerts are taken; `api.alert_*` of the settings."""

    strength: float = 0.5  # of one that does not say
    confidence: float = 0.5
    wait_s: float = 2.0  # until it is on disk; TradingView gives up after 3 s


class Wish(NamedTuple):
    """A direction, or why there is none."""

    direction: Direction | None
    reason: str = ""


def wish_of(alert: AlertBody) -> Wish:
    """What the alert would have the book do. A position that is told comes before the order that led there.

    Raises RequestError bad_alert for a word that is not known, none at all, or two that contradict each other.
    """
    position, before = (_position(alert, key) for key in ("market_position", "prev_market_position"))
    orders = {key: _order(alert, key) for key in _ACTIONS if getattr(alert, key) is not None}
    if len(set(orders.values())) > 1:
        first, second = list(orders)[:2]
        refuse(alert.named(second), getattr(alert, second), f"contradicts {alert.named(first)}")
    if not orders and position is None:
        refuse(alert.named("action"), None, "an alert says buy or sell, as action, side, signal or market_position")
    order = next(iter(orders.values()), None)
    if order is not None and order.direction == "BUY" and str(alert.reduce_only).lower() in ("true", "1", "yes"):
        return Wish(None, NOTHING["cover"])
    if position is None or (order is not None and order.direction is None):
        assert order is not None  # noqa: S101 - one of the two is there
        return order
    return _moved(None if order is None else order.direction, position, before)


def name_of(alert: AlertBody) -> str:
    """The contract as the sender names it. Raises RequestError bad_alert."""
    given = [key for key in ("symbol", "ticker") if (getattr(alert, key) or "").strip()]
    if not given:
        refuse(alert.named("symbol"), None, "an alert names its contract, as symbol or ticker")
    return str(getattr(alert, given[0])).strip()


def share(alert: AlertBody, keys: Sequence[str], default: float) -> float:
    """The first of these keys that is there, as 0 to 1; above 1 it is percent. Raises RequestError bad_alert."""
    for key in keys:
        value = getattr(alert, key)
        if value is None or value == "":
            continue
        number, percent = _number(value)
        found = number / 100.0 if percent or number > 1.0 else number
        if not 0.0 <= found <= 1.0:
            refuse(alert.named(key), value, "from 0 to 1, or percent up to 100")
        return found
    return default


def expiry_of(alert: AlertBody) -> float | None:
    """Seconds until it is no longer worth judging. Raises RequestError bad_alert."""
    if alert.expires_in_s is None:
        return None
    found, percent = _number(alert.expires_in_s)
    if percent or not 0.0 < found <= MOST_EXPIRY_S:
        refuse(alert.named("expires_in_s"), alert.expires_in_s, f"seconds above 0, at most {MOST_EXPIRY_S:.0f}")
    return found


def key_of(alert: AlertBody, told: Sequence[str], now: int) -> str | None:
    """What makes a repeat within one bar the same alert; None where nothing tells the bar.

    `told`: what the signal says, such as source, contract and direction; `now` in ns.
    """
    bar = _bar(alert, now)
    if bar is None:
        return None
    orders = [str(value) for value in (alert.order_id, alert.alert_id, alert.tag) if value is not None]
    joined = "\x1f".join([*told, *orders, bar])
    return f"alert:{hashlib.sha256(joined.encode(errors='surrogatepass')).hexdigest()[:40]}"


def _number(value: float | str) -> tuple[float, bool]:
    """A figure and whether it is percent; NaN for what is none."""
    if not isinstance(value, str):
        return float(value), False
    match = _NUMBER.fullmatch(value.strip())
    return (float(match[1]), bool(match[2])) if match else (math.nan, False)


def _bar(alert: AlertBody, now: int) -> str | None:
    if alert.time not in (None, ""):
        return str(alert.time)
    match = _INTERVAL.fullmatch(str(alert.interval or "").strip().upper())
    if match and (match[1] or match[2]):
        length = (int(match[1] or 1) or 1) * _UNIT_S[match[2]] * NS
        return f"{match[0]}:{now // length}"
    return None if alert.timenow in (None, "") else str(alert.timenow)


def _order(alert: AlertBody, key: str) -> Wish:
    said = str(getattr(alert, key))
    word = re.sub(r"[\s-]+", "_", said.strip().lower())
    if word in BUYS:
        return Wish("BUY")
    if word in SELLS:
        return Wish("SELL")
    if word not in NOTHING:
        refuse(alert.named(key), said, f"one of {', '.join(sorted(BUYS | SELLS | set(NOTHING)))}")
    return Wish(None, NOTHING[word])


def _position(alert: AlertBody, key: str) -> str | None:
    said = getattr(alert, key)
    if said is None:
        return None
    word = str(said).strip().lower()
    if word not in _POSITIONS:
        refuse(alert.named(key), said, f"one of {', '.join(_POSITIONS)}")
    return word


def _moved(ordered: Direction | None, position: str, before: str | None) -> Wish:
    """Long: BUY, but for an order that takes some of it away. Short or flat: SELL, unless a short was closed."""
    if position == "long":
        return Wish("SELL" if ordered == "SELL" else "BUY")
    if ordered == "BUY" or (before == "short" and position == "flat"):
        return Wish(None, NOTHING["cover"])
    return Wish("SELL")
