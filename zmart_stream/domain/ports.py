"""The Protocols that edges implement and others are handed; only `app/compose.py` knows who is behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zmart_stream.domain.commands import Command
from zmart_stream.domain.market import BarRow
from zmart_stream.domain.message import Message


class MarketClock(Protocol):
    """Market time (architecture §4a)."""

    def now(self) -> int:
        """Market time in ns UTC; never runs back."""
        ...

    def seen(self, ts_event: int) -> None:
        """Tell the clock a venue time; it matters only at speed `max`, where it is the highest seen."""
        ...


class Inbox(Protocol):
    """Where sources put what they learned."""

    def put(self, message: Message) -> None:
        """Append; a full inbox drops only superseded tickers and depths, counted."""
        ...

    @property
    def crowded(self) -> bool:
        """True while a source should stop reading its socket."""
        ...


class VenueRest(Protocol):
    """The venue's public REST as others than the feed need it (history, doctor)."""

    async def klines(self, symbol: str, interval_s: int, since: int, until: int) -> tuple[BarRow, ...]:
        """Bars with start in [since, until), ascending. Raises FeedError."""
        ...

    async def server_time(self) -> int:
        """The venue's time in ns. Raises FeedError."""
        ...


class Reader(Protocol):
    """What the API, the CLI and doctor may ask of a running system: JSON-ready values, `as_of` included."""

    def status(self) -> dict[str, Any]:
        """Version, venue, feed, warm-up, book, hold, storage, configuration revision."""
        ...

    def rankings(self, kind: str = "COMPOSITE") -> list[dict[str, Any]]:
        """Every contract with a score of that kind, best first; rank null where not eligible. Raises KeyError."""
        ...

    def portfolio(self) -> dict[str, Any]:
        """The committed book: holdings, cash, why cash."""
        ...

    def explain(self, symbol: str) -> dict[str, Any]:
        """Parts, contributions, gates, smallest change. Raises KeyError for an unknown symbol."""
        ...

    def symbols(self) -> list[dict[str, Any]]:
        """Every known contract with facts and state."""
        ...

    def listed(self) -> Mapping[str, str]:
        """The id of every known contract, by symbol."""
        ...


class Commander(Protocol):
    """How commands reach the core."""

    async def submit(self, command: Command) -> Sequence[Message]:
        """Queue the command; return its cascade once what must be on disk is on disk. Raises CommandRefusedError."""
        ...

    async def load_sample_data(self) -> dict[str, Any]:
        """Wait for the sandbox's contracts and history. Raises CommandRefusedError (not_a_sandbox) on a real venue."""
        ...
