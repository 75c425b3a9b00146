"""What other exchanges call the coin of a contract, in the form that trading bots use for linear perpetuals."""

from __future__ import annotations

import re

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

EXCHANGES = ("binance", "bybit", "gate", "kucoin", "okx")


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
