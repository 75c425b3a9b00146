"""What others call the coin of a contract: as pairs for trading bots, and which contract a name from outside means."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, get_args

_ENDING = "USDTM"
_MULTIPLIERS = ("1000000", "100000", "10000", "1000", "1M", "1B", "1K")
_SAFE = re.compile(r"[A-Z0-9]{1,20}", re.ASCII)
"""Names go out as patterns: one that means something to a regular expression would spoil a whole list."""


def _by_coin(names: str) -> dict[str, str]:
    return {_coin(name): name for name in names.split()}


def _coin(name: str) -> str:
    """A name without the multiplier that it carries."""
    if name.endswith("1000") and len(name) > 4:
        return name.removesuffix("1000")
    for multiplier in _MULTIPLIERS:
        if name.startswith(multiplier) and len(name) > len(multiplier):
            return name.removeprefix(multiplier)
    return name


_MOST_LETTERS = 64
_FORM = re.compile(r"([A-Z0-9]+?)(?:USDTM?)?(?:\.P|\.PERP|PERP|SWAP)?", re.ASCII)
"""A name without exchange, strokes and dashes: the coin, and what others write behind it."""

_MULTIPLIED: dict[str, dict[str, str]] = {
    "binance": _by_coin(
        "1000SHIB 1000PEPE 1000BONK 1000FLOKI 1000LUNC 1000XEC 1000SATS 1000RATS 1000CAT 1000CHEEMS 1000WHY "
        "1MBABYDOGE 1000000MOG"
    ),
    "bybit": _by_coin(
        "SHIB1000 1000PEPE 1000BONK 1000FLOKI 1000LUNC 1000XEC 1000BTT 10000SATS 1000RATS 1000CAT 1000TURBO "
        "1000NEIROCTO 1000000CHEEMS 10000WHY 10000LADYS 10000ELON 10000COQ 1000000BABYDOGE 1000000MOG"
    ),
    "gate": {},
    "okx": {},
}
"""By exchange: coins that it lists by the thousand or million. Others it lists one by one."""

Exchange = Literal["binance", "bybit", "gate", "kucoin", "okx"]
EXCHANGES: tuple[Exchange, ...] = get_args(Exchange)


def pair(symbol: str, exchange: str) -> str | None:
    """The pair, such as `BTC/USDT:USDT`, for one of `EXCHANGES`; None where a contract has no safe name."""
    if not symbol.endswith(_ENDING):
        return None
    venue = symbol.removesuffix(_ENDING)
    base = "BTC" if venue == "XBT" else venue
    if exchange != "kucoin":
        coin = _coin(base)
        base = _MULTIPLIED[exchange].get(coin, coin)
    return f"{base}/USDT:USDT" if _SAFE.fullmatch(base) else None


def contracts_of(name: str, listed: Collection[str]) -> list[str]:
    """The listed contracts that a name from outside may mean; one: it is clear, none: nobody knows it.

    Known are `BTC`, `BTCUSDT`, `BTC-USDT`, `BTC/USDT:USDT`, `BTCUSDT.P`, `KUCOIN:XBTUSDTM`, `BTC-USDT-SWAP`; a coin
    goes by the thousand or one by one, whichever is listed.
    """
    if len(name) > _MOST_LETTERS:
        return []
    match = _FORM.fullmatch(_bare(name.strip().upper()))
    if match is None:
        return []
    base = "XBT" if match[1] == "BTC" else match[1]
    if f"{base}{_ENDING}" in listed:
        return [f"{base}{_ENDING}"]
    coin = _coin(base)
    return sorted(symbol for symbol in listed if _coin(symbol.removesuffix(_ENDING)) == coin)


def _bare(name: str) -> str:
    """Without the exchange before a colon, the settlement behind one, and what parts coin and quote."""
    if "/" in name:
        base, _, quote = name.partition("/")
        return base + "USDT" if quote in ("USDT", "USDT:USDT") else name
    return name.rpartition(":")[2].replace("-", "").replace("_", "")
