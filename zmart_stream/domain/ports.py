"""The Protocols that edges implement and others are handed; only `app/compose.py` knows who is behind them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from zmart_stream.domain.commands import Command
from zmart_stream.domain.market import BarRow
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import EntryState, OutboxEntry
from zmart_stream.domain.portfolio import EquityMarked, PortfolioChange


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

    def ranking_steps(self, kind: str = "COMPOSITE") -> Generator[None, None, list[dict[str, Any]]]:
        """The same, in steps between which others may go on. Raises KeyError at the first."""
        ...

    def portfolio(self) -> dict[str, Any]:
        """The committed book: holdings, cash, why cash."""
        ...

    def explain(self, symbol: str) -> dict[str, Any]:
        """Parts, contributions, gates, smallest change. Raises KeyError for an unknown symbol."""
        ...

    def symbol_steps(self) -> Generator[None, None, list[dict[str, Any]]]:
        """Every known contract with facts and state, in steps between which others may go on."""
        ...

    def symbol(self, symbol: str) -> dict[str, Any]:
        """One known contract with facts and state. Raises KeyError."""
        ...

    def listed(self) -> Mapping[str, str]:
        """The id of every known contract, by symbol."""
        ...

    def statistics(self) -> dict[str, Any]:
        """The book and its money at a glance: weights, scores, risk, ledger, positions."""
        ...

    def metrics(self, window: str) -> dict[str, Any]:
        """Risk and performance over 1d, 7d, 30d or all; figures that cannot be given are null, with the reason."""
        ...

    def attribution(self, window: str) -> dict[str, Any]:
        """Where the return over such a window came from."""
        ...

    def optimise(self, name: str) -> dict[str, Any]:
        """What an optimiser would make of the book now. Raises KeyError for an unknown name."""
        ...

    def swaps(self) -> dict[str, Any]:
        """What swaps earned against not swapping, and what a point of score earned."""
        ...

    def signal_statistics(self) -> dict[str, Any]:
        """Signals by state, source and type, how long each stage took, and the scorecards."""
        ...


class ChangesAsked(NamedTuple):
    """Which changes of the book are asked for; None leaves a condition out. Times in ns."""

    symbol: str | None = None
    kind: str | None = None
    since: int | None = None


class SignalsAsked(NamedTuple):
    """Which signals are asked for: those that wait or those that are through; None leaves a condition out."""

    state: Literal["pending", "processed"]
    source: str | None = None
    symbol: str | None = None


class Archive(Protocol):
    """What is on disk. All raise StorageError."""

    async def history(self, wanted: ChangesAsked, limit: int, offset: int) -> tuple[Sequence[PortfolioChange], int]:
        """Changes of the book, newest first, and how many there are of the wanted ones."""
        ...

    async def equity(self, since: int, until: int, most: int) -> Sequence[EquityMarked]:
        """Points of the ledger with an end in [since, until] (ns), ascending, evenly thinned to `most`."""
        ...

    async def scores(self, symbol: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Stored scores of a contract, newest first, JSON-ready."""
        ...

    async def signals(self, wanted: SignalsAsked, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Signals, newest first, JSON-ready, and how many there are of the wanted ones."""
        ...

    async def signal(self, which: str) -> dict[str, Any] | None:
        """One signal by id with steps, opinions and outcome, JSON-ready; None: there is none."""
        ...


class EntriesAsked(NamedTuple):
    """Which entries of the outbox are asked for; None, or no ids, leaves a condition out."""

    state: EntryState | None = None
    endpoint: str | None = None
    ids: tuple[str, ...] = ()


class OutboxStore(Protocol):
    """What is to be sent, on disk. The reads raise StorageError."""

    def put(self, messages: Sequence[Message]) -> None:
        """Take `messages` as one unit; never blocks."""
        ...

    async def waiting(self, limit: int) -> Sequence[OutboxEntry]:
        """Entries that are pending."""
        ...

    async def entries(self, asked: EntriesAsked, limit: int, offset: int) -> tuple[Sequence[OutboxEntry], int]:
        """Entries, newest first, and how many there are of the wanted ones."""
        ...


class Notifications(Protocol):
    """Who is told of what happens, and what became of it. Its methods raise RequestError and StorageError."""

    def endpoints(self) -> list[dict[str, Any]]:
        """Every endpoint with circuit and counts, JSON-ready."""
        ...

    async def listed(self, asked: EntriesAsked, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Entries, newest first, JSON-ready, and how many there are of the wanted ones."""
        ...

    async def resend(self, ids: Sequence[str], endpoint: str | None) -> int:
        """Try dead entries anew, those named or all (of an endpoint); how many."""
        ...

    async def test(self, endpoint: str, who: str) -> dict[str, Any]:
        """Send a test; where it stands after its first attempt."""
        ...


class Configuration(Protocol):
    """The settings, and what is recorded over their file."""

    def settings(self) -> dict[str, Any]:
        """Every setting with value and origin, aliases, revision: JSON-ready, without secrets."""
        ...

    def algorithms(self) -> list[dict[str, Any]]:
        """The scoring algorithms with their weights."""
        ...

    async def change(self, values: Mapping[str, Any], *, who: str) -> dict[str, Any]:
        """Record values over the file (None forgets a key) and use them. Raises ConfigError, and changes nothing."""
        ...

    async def weigh(self, name: str, weight: float | None, parts: Mapping[str, float], *, who: str) -> dict[str, Any]:
        """Weights of an algorithm, in the same way. Raises KeyError for an unknown name, ConfigError."""
        ...

    async def reload(self) -> dict[str, Any]:
        """What SIGHUP does. Raises ConfigError, and changes nothing."""
        ...


class Commander(Protocol):
    """How commands reach the core."""

    async def submit(self, command: Command) -> Sequence[Message]:
        """Queue the command; return its cascade once what must be on disk is on disk. Raises CommandRefusedError."""
        ...

    async def load_sample_data(self) -> dict[str, Any]:
        """Wait for the sandbox's contracts and history. Raises CommandRefusedError (not_a_sandbox) on a real venue."""
        ...
