"""The venue's contract list from poll to poll: what appeared, changed, vanished. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import MalformedMessageError
from zmart_stream.domain.market import Listing
from zmart_stream.domain.message import Message
from zmart_stream.feeds.kucoin.rows import ROWS_AT_ONCE, ContractRow, contract_of, stats_of

Learned = tuple[list[Message], list[MalformedMessageError]]
"""Messages, and rows that cannot be believed, or not in part."""

GONE_AFTER = 2
"""Polls in a row without a contract until it counts as gone: one reply may be short."""

LEAST_SHARE = 0.5
"""A reply with fewer of the known contracts than this is not believed."""


def followed(contract: Contract) -> bool:
    """Does the feed subscribe this contract (numbers.md §1, turnover and age aside)?"""
    return (
        contract.is_linear_usdt_crypto
        and contract.status == "Open"
        and contract.market_stage == "NORMAL"
        and contract.expires_at is None
    )


class Listings:
    """Known contracts and the figures of their last poll."""

    def __init__(self) -> None:
        self.contracts: dict[str, Contract] = {}
        self.turnover: dict[str, float] = {}
        self._funding: dict[str, tuple[int, int]] = {}  # next settlement and interval, ns
        self._funded: dict[str, None] = {}  # contracts whose row told a funding rate
        self._missing: dict[str, int] = {}

    def update(self, rows: Sequence[ContractRow], now: Callable[[], int]) -> Iterator[Learned]:
        """What a poll tells, in steps of about a ms: each has messages of market time `now()` and what is wrong.

        Whoever else waits for the loop may have it between steps. Raises MalformedMessageError, before the first step,
        for a reply that holds too few contracts to be the list.
        """
        if len(rows) < LEAST_SHARE * len(self.contracts):
            raise MalformedMessageError("short_list", f"{len(rows)} of {len(self.contracts)} contracts")
        return self._steps(rows, now)

    def _steps(self, rows: Sequence[ContractRow], now: Callable[[], int]) -> Iterator[Learned]:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield self._learned(rows[start : start + ROWS_AT_ONCE], now())
        yield self._vanished(dict.fromkeys(row.symbol for row in rows), now()), []

    def _learned(self, rows: Sequence[ContractRow], now: int) -> Learned:
        """Messages of some rows; those that cannot be believed, or not in part."""
        messages: list[Message] = []
        errors: list[MalformedMessageError] = []
        for row in rows:
            try:
                contract = contract_of(row)
            except MalformedMessageError as error:
                errors.append(error)
                continue
            messages += self._changed(contract, now)
            stats = stats_of(row, now)
            self.turnover[row.symbol] = stats.turnover_24h or 0.0
            if stats.next_funding is not None and stats.funding_interval_s is not None:
                self._funding[row.symbol] = (stats.next_funding, stats.funding_interval_s * 1_000_000_000)
            messages.append(stats)
            if stats.funding_rate is not None:
                self._funded[row.symbol] = None
            elif row.symbol in self._funded:
                del self._funded[row.symbol]
                errors.append(MalformedMessageError("no_funding", row.symbol))
        return messages, errors

    def market(self) -> list[str]:
        """The contracts to follow, most liquid first."""
        return sorted(
            (symbol for symbol, contract in self.contracts.items() if followed(contract)),
            key=lambda symbol: (-self.turnover.get(symbol, 0.0), symbol),
        )

    def last_settlement(self, symbol: str, now: int) -> int | None:
        """When `symbol` settled last as of `now` (ns), by its row's next settlement and interval; None if not told."""
        known = self._funding.get(symbol)
        if known is None:
            return None
        following, interval = known
        return following if following <= now else following - interval

    def _changed(self, contract: Contract, now: int) -> list[Message]:
        known = self.contracts.get(contract.symbol)
        self._missing.pop(contract.symbol, None)
        if known == contract:
            return []
        self.contracts[contract.symbol] = contract
        return [Listing(ts=now, contract=contract, change="listed" if known is None else "changed")]

    def _vanished(self, seen: dict[str, None], now: int) -> list[Message]:
        gone: list[Message] = []
        for symbol in [symbol for symbol in self.contracts if symbol not in seen]:
            self._missing[symbol] = self._missing.get(symbol, 0) + 1
            if self._missing[symbol] >= GONE_AFTER:
                del self._missing[symbol]
                self.turnover.pop(symbol, None)
                self._funding.pop(symbol, None)
                self._funded.pop(symbol, None)
                gone.append(Listing(ts=now, contract=self.contracts.pop(symbol), change="delisted"))
        return gone
