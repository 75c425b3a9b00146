"""The contracts of the synthetic market: names, sizes and classes in the venue's proportions."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10

from zmart_stream.domain.sectors import bases, sector_of
from zmart_stream.sandbox.calendar import (
    NOTICE_NS,
    ns_of,
    old_listing,
    quarter_at,
    quarter_code,
    quarter_expiry,
    slot_life,
)
from zmart_stream.sandbox.contracts import HOUR_MS, Contract
from zmart_stream.sandbox.keyed import derive, uniform_at

# typical price and lot (base coins) of coins that people know by heart
_KNOWN = {
    "XBT": (86_000.0, 0.001), "ETH": (2_850.0, 0.01), "SOL": (152.0, 0.1), "XRP": (2.2, 10.0), "DOGE": (0.19, 100.0),
    "BNB": (640.0, 0.01), "SUI": (3.3, 1.0), "ADA": (0.71, 10.0), "LINK": (15.2, 0.1), "AVAX": (21.5, 0.1),
    "TRX": (0.27, 100.0), "LTC": (92.0, 0.1), "BCH": (420.0, 0.01), "DOT": (4.6, 1.0), "NEAR": (2.6, 1.0),
    "HYPE": (31.0, 0.1), "UNI": (7.2, 1.0), "AAVE": (210.0, 0.01), "1000PEPE": (0.0121, 1000.0), "WIF": (0.82, 10.0),
    "ENA": (0.34, 10.0), "TAO": (390.0, 0.01), "APT": (5.1, 1.0), "ARB": (0.36, 10.0), "OP": (0.72, 1.0),
    "XLM": (0.27, 10.0), "HBAR": (0.18, 10.0), "ETC": (17.6, 0.1), "FIL": (2.7, 1.0), "ICP": (5.1, 1.0),
    "TON": (3.2, 1.0), "ATOM": (4.4, 1.0), "TIA": (2.4, 1.0), "SEI": (0.21, 10.0), "INJ": (12.2, 0.1),
    "LDO": (0.87, 1.0), "ONDO": (0.86, 10.0), "WLD": (1.1, 1.0), "1000BONK": (0.0178, 1000.0), "FARTCOIN": (1.1, 1.0),
    "TRUMP": (11.0, 0.1), "CRV": (0.62, 1.0), "XMR": (330.0, 0.01), "ZEC": (48.0, 0.1), "OKB": (51.0, 0.1),
}  # fmt: skip
_PER_1000 = ("SHIB", "FLOKI", "SATS", "RATS", "CAT", "XEC", "LUNC", "TOSHI", "BABYDOGE", "MOG", "X", "TURBO")
_STOCKS = ("TSLA", "NVDA", "AAPL", "MSTR", "COIN", "HOOD", "GOOGL", "AMZN", "META", "MSFT", "PLTR", "CRCL")
_INVERSE = ("XBT", "ETH", "XRP", "SOL")
_USDC = ("XBT", "ETH", "SOL", "XRP", "DOGE")
_WHOLE = 700  # the venue's size, to which the counts below belong
_CHANGING_SHARE = 0.07
_HEAVIEST, _TAIL_FROM, _TAIL_SPAN = 9.5e8, 430, 120.0
_VOWELS, _CONSONANTS = "AEIOU", "BCDFGHJKLMNPQRSTVWXZ"
_NAMES = 200_000


@dataclass(frozen=True)
class _Shape:
    """How many contracts of each kind."""

    stay: int  # USDT-linear contracts that stay
    changing: int  # slots of contracts that come and go
    usdc: int
    inverse: int
    dated: int
    stocks: int
    early: int  # pre-market


def _shape(contracts: int) -> _Shape:
    def part(of_700: int) -> int:
        return round(of_700 * min(contracts, _WHOLE) / _WHOLE)

    usdc, inverse, dated = part(5), part(4), 2 if contracts >= 350 else 0
    changing = round(contracts * _CHANGING_SHARE)
    stay = contracts - usdc - inverse - dated - changing
    return _Shape(stay, changing, usdc, inverse, dated, part(len(_STOCKS)), part(3))


def invented(number: int) -> str:
    """A pronounceable five-letter coin name, different for every number below 200 000."""
    code = (number * 73_939 + 104_729) % _NAMES
    code, last = divmod(code, 20)
    code, fourth = divmod(code, 5)
    code, third = divmod(code, 20)
    first, second = divmod(code, 5)
    letters = (_CONSONANTS[first], _VOWELS[second], _CONSONANTS[third], _VOWELS[fourth], _CONSONANTS[last])
    name = "".join(letters)
    return name if sector_of(name) is None else name + "Y"


def _base_names(seed: int, count: int) -> list[str]:
    """Well-known coins first, then the rest of the sector table in an order of the seed, then invented ones."""
    taken = {name.removeprefix("1000") for name in _KNOWN}
    key = derive("names", seed)
    others = [base for base in bases() if base not in taken]
    others.sort(key=lambda base: derive(key, base))
    names = [*_KNOWN, *(f"1000{base}" if base in _PER_1000 else base for base in others)]
    return (names + [invented(at) for at in range(max(0, count - len(names)))])[:count]


class Catalog:
    """The roster of the synthetic market: a pure function of (seed, contracts, time)."""

    def __init__(self, seed: int, contracts: int) -> None:
        """`contracts` is how many are listed at any time."""
        self._seed = seed
        self._shape = _shape(contracts)
        self._by_symbol: dict[str, Contract] = {}
        self._stay = self._staying()
        self._known_until = (0, 0)
        self._alive: tuple[str, ...] = ()
        self._places: dict[str, int] = {}

    def alive(self, now: int) -> tuple[str, ...]:
        """Symbols listed at `now` (ns), most liquid first."""
        since, until = self._known_until
        if not since <= now < until:
            changing = [self._changing(slot, now) for slot in range(self._shape.changing)]
            listed = [c for c in self._stay if c.listed <= now] + changing + self._dated(now)
            edges = [c.delisted for c in listed if c.delisted is not None]
            edges += [c.listed for c in self._stay if c.listed > now]
            self._known_until = (max((c.listed for c in listed), default=0), min(edges, default=2**62))
            listed.sort(key=lambda c: (-c.turnover, c.symbol))
            self._alive = tuple(c.symbol for c in listed)
            self._places = {symbol: place for place, symbol in enumerate(self._alive)}
        return self._alive

    def following(self, symbol: str) -> list[Contract]:
        """The contracts after `symbol` in the last listing that was asked for."""
        place = self._places.get(symbol, len(self._alive))
        return [self._by_symbol[other] for other in self._alive[place + 1 :]]

    def contract(self, symbol: str) -> Contract:
        """The contract of a symbol listed at some time asked for; KeyError if there is none."""
        return self._by_symbol[symbol]

    def _keep(self, contract: Contract) -> Contract:
        return self._by_symbol.setdefault(contract.symbol, contract)

    def _staying(self) -> list[Contract]:
        shape = self._shape
        names = _base_names(self._seed, shape.stay - shape.stocks - shape.early)
        coins = [self._linear(base, rank) for rank, base in enumerate(names)]
        places = range(shape.stay, shape.stay - shape.stocks, -1)
        coins += [self._stock(base, rank // 3) for base, rank in zip(_STOCKS, places, strict=False)]
        coins += [
            self._linear(invented(_NAMES // 2 + at), shape.stay // 2 + at, stage="PRE_MARKET")
            for at in range(shape.early)
        ]
        coins += [self._margined(base, "USDC", at) for at, base in enumerate(_USDC[: shape.usdc])]
        coins += [self._margined(base, "USD", at) for at, base in enumerate(_INVERSE[: shape.inverse])]
        return [self._keep(contract) for contract in coins]

    def _linear(
        self, base: str, rank: int, *, stage: str = "NORMAL", listed: int | None = None, delisted: int | None = None
    ) -> Contract:
        symbol = f"{base}USDTM"
        key = derive("contract", self._seed, symbol)
        price, multiplier = _KNOWN.get(base) or _price_and_lot(key)
        turnover = _turnover(rank, key)
        step, digits = _tick(price, rank)
        interval, grid = _funding_clock(rank, key)
        return Contract(
            symbol=symbol, key=key, base=base, quote="USDT", settle="USDT", step=step, digits=digits,
            multiplier=multiplier, price=price, turnover=turnover, spread_bps=_spread(turnover, key),
            listed=old_listing(uniform_at(key, 3)) if listed is None else listed, delisted=delisted,
            announced=None if delisted is None else delisted - NOTICE_NS, interval_ms=interval, grid_ms=grid,
            granularity_known=rank in (0, 1) or rank % 53 != 4, max_leverage=_leverage(rank), stage=stage,
            sector=sector_of(base),
        )  # fmt: skip

    def _stock(self, base: str, rank: int) -> Contract:
        like = self._linear(base, rank)
        return _changed(like, market_type="NASDAQ", asset_class="STOCK", sub_market_type="US.STOCK", max_leverage=20)

    def _margined(self, base: str, quote: str, rank: int) -> Contract:
        like = self._linear(base, rank)
        inverse = quote == "USD"
        symbol = f"{base}{quote}M"
        return _changed(
            like,
            symbol=symbol,
            key=derive("contract", self._seed, symbol),
            quote=quote,
            settle=base if inverse else quote,
            multiplier=-1.0 if inverse else like.multiplier,
            turnover=like.turnover / (60.0 if inverse else 90.0),
            interval_ms=8 * HOUR_MS,
            grid_ms=0,
        )

    def _changing(self, slot: int, now: int) -> Contract:
        life = slot_life(slot, self._shape.changing, now)
        base = invented(10_000 + slot + life.generation * self._shape.changing)
        known = self._by_symbol.get(f"{base}USDTM")
        if known is not None:
            return known
        rank = 60 + int(uniform_at(derive("slot", self._seed, base), 1) * 0.75 * self._shape.stay)
        return self._keep(self._linear(base, rank, listed=life.begin, delisted=life.end))

    def _dated(self, now: int) -> list[Contract]:
        first = quarter_at(now)
        found = []
        for place in range(self._shape.dated):
            like = self._margined("XBT", "USD", 0)
            symbol = f"XBTM{quarter_code(first + place)}"
            listed = ns_of(quarter_expiry(first + place - 2))
            found.append(
                self._by_symbol.get(symbol)
                or self._keep(
                    _changed(
                        like,
                        symbol=symbol,
                        key=derive("contract", self._seed, symbol),
                        dated=True,
                        turnover=like.turnover / 4.0,
                        listed=listed,
                        delisted=ns_of(quarter_expiry(first + place)),
                        announced=listed,
                    )
                )
            )
        return found


def _changed(like: Contract, **fields: object) -> Contract:
    values = {name: getattr(like, name) for name in Contract.__dataclass_fields__}
    return Contract(**{**values, **fields})


def _turnover(rank: int, key: int) -> float:
    """USD a day: a power law, with a tail that thins out faster."""
    heavy = _HEAVIEST / (rank + 1.0) * (0.8 + 0.4 * uniform_at(key, 5))
    return float(heavy * 10.0 ** (-max(0, rank - _TAIL_FROM) / _TAIL_SPAN / 1.6))


def _spread(turnover: float, key: int) -> float:
    """Typical spread in bps: under 1 for the heaviest, 2-6 in the middle, up to 30 in the tail."""
    return float(min(max(26.0 * (turnover / 2e5) ** -0.46 * (0.7 + 0.6 * uniform_at(key, 6)), 0.5), 30.0))


def _price_and_lot(key: int) -> tuple[float, float]:
    price = 10.0 ** (-2.6 + 3.8 * uniform_at(key, 1))
    price = float(f"{price:.3g}")
    exponent = round(log10((2.0 + 8.0 * uniform_at(key, 2)) / price))
    return price, float(f"1e{exponent}")


def _tick(price: float, rank: int) -> tuple[int, int]:
    """(step, digits): about 1/50 000 of the price, finer on the heaviest."""
    exponent = floor(log10(price / 3.0)) - (5 if rank < 12 else 4)
    return (10**exponent, 0) if exponent > 0 else (1, -exponent)


def _funding_clock(rank: int, key: int) -> tuple[int, int]:
    """(interval, offset of the grid) in ms: 8 h on the old ones, 4 h on most, 1 h on a few."""
    if rank in (311, 402):
        return HOUR_MS, 0
    if rank < 30 or uniform_at(key, 7) < 0.33:
        return 8 * HOUR_MS, 4 * HOUR_MS if rank % 97 == 50 else 0
    return 4 * HOUR_MS, 3 * HOUR_MS if rank % 97 == 50 else 0


def _leverage(rank: int) -> int:
    return 125 if rank < 1 else 100 if rank < 8 else 75 if rank < 120 else 50 if rank < 400 else 20
