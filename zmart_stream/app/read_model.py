"""What the API and the command line see: the core's reads and the committed book as JSON-ready values."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from zmart_stream import __version__
from zmart_stream.app.book_facts import ToldFacts
from zmart_stream.app.loop_lag import LoopLag
from zmart_stream.domain.bars import BarsAmended, RepairWanted
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, FlagsChanged, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.ids import symbol_id
from zmart_stream.engine.reads import AT_ONCE, drained

Facts = Callable[[], dict[str, Any]]

RANKED_S = 0.25
"""How long (real seconds) a ranking is shown again: it holds every contract, and making it holds up the feed."""


_FIGURES = frozenset({ScoreChanged, RepairWanted, BarsAmended})
"""What moves figures at most, which may be a moment old."""

_TIMES = frozenset({"as_of", "since", "until", "end", "opened", "marked", "kept_since"})
"""Members of the core's answers that are ns."""


def with_times(value: Any) -> Any:
    """An answer of the core with its times in ISO 8601."""
    if isinstance(value, list):
        return [with_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: iso(item) if name in _TIMES else with_times(item) for name, item in value.items()}


def iso(ts: int | None) -> str | None:
    """ns UTC as ISO 8601 with milliseconds."""
    if not ts:
        return None
    return datetime.fromtimestamp(ts // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_MONEY = ("value_usdt", "price_pnl_usdt", "funding_usdt", "costs_usdt", "earned_usdt", "drifted_weight")


def _money(positions: Mapping[str, Mapping[str, Any]], holding: Holding) -> dict[str, Any]:
    """What a holding is worth and has earned in this stay; nulls before the ledger has traded it."""
    position = positions.get(holding.symbol)
    if position is None:
        return dict.fromkeys(_MONEY)
    return {**{name: position[name] for name in _MONEY[:-1]}, "drifted_weight": position["weight"]}


def _is_heard(feed: Mapping[str, Any]) -> bool:
    """Whether the venue answers on any of its ways, as far as the feed tells."""
    connections = feed.get("connections", ())
    return feed.get("rest", {}).get("state") != "down" or any(line["state"] == "up" for line in connections)


class ReadModel:
    """Answers for `Reader`. The book is the committed one: what was told, not what may still be lost."""

    def __init__(
        self, engine: Engine, *, venue: Facts, feed: Facts, storage: Facts, config: Facts, notify: Facts = dict
    ) -> None:
        """The callables tell what other parts know of themselves."""
        self._engine = engine
        self._venue, self._feed, self._storage, self._config, self._notify = venue, feed, storage, config, notify
        self.loop: Facts = LoopLag().facts
        """How late the loop is; whoever watches it is put here."""
        self._book = engine.symbols.portfolio
        self._told = ToldFacts(engine)
        self._book_ready = bool(engine.status()["book"]["ready"])
        self._last_change: PortfolioChange | None = None
        self._ranked: dict[str, tuple[float, list[dict[str, Any]]]] = {}
        self._ids: dict[str, str] = {}
        self._began = time.monotonic()
        self.told = 0
        """How often something was told that is more than figures."""

    def made(self, messages: Sequence[Message]) -> None:
        """What the core derived goes to storage: until it is told, the book is shown as it was."""
        self._told.made(messages)

    def tell(self, messages: Sequence[Message]) -> None:
        """Take over what is on disk."""
        self._told.told(messages)
        for message in messages:
            if type(message) in _FIGURES:
                continue
            self.told += 1
            self._ranked.clear()
            if isinstance(message, PortfolioChange):
                self._book = message.after
                self._last_change = message
            elif isinstance(message, FlagsChanged):
                self._book = message.portfolio
            elif isinstance(message, BookReady):
                self._book_ready = True

    def remember(self, change: PortfolioChange | None) -> None:
        """The newest change of an earlier session."""
        self._last_change = change

    @property
    def book(self) -> Portfolio:
        """The committed book."""
        return self._book

    def status(self) -> dict[str, Any]:
        """Version, venue, feed, warm-up, contracts, book, storage, configuration, lateness of the loop, uptime."""
        core, feed = self._engine.status(), self._feed()
        warm_up = core["warm_up"]
        text = "done" if warm_up["ended"] else f"warming up {warm_up['done']}/{warm_up['of']}"
        return {
            "version": __version__,
            "as_of": iso(core["as_of"]),
            "session": core["session"],
            "venue": {**self._venue(), "status": core["venue_status"], "reachable": _is_heard(feed)},
            "feed": feed,
            "warm_up": {**warm_up, "text": text},
            "contracts": {
                "known": core["contracts"],
                "universe": core["universe"],
                "live": core["live"],
                "scored": core["scored"],
                "unrepaired": core["unrepaired"],
            },
            "book": {
                "size": len(self._book.holdings),
                "max": core["book"]["places"],
                "ready": self._book_ready,
                "swaps_24h": core["book"]["swaps_24h"],
                "hold": self._told.hold is not None,
                "hold_reason": self._told.hold,
                "last_change": self._shown_change(),
            },
            "counts": core["counts"],
            "plugins": core["plugins"],
            "storage": self._storage(),
            "notify": self._notify(),
            "config": {"revision": core["revision"], **self._config()},
            "loop": self.loop(),
            "uptime_s": round(time.monotonic() - self._began, 1),
        }

    def status_line(self) -> str:
        """One line for the service manager: warm-up, what lives, the book, and whether it holds."""
        status = self._engine.status()
        warm_up, hold = status["warm_up"], status["hold"]
        progress = "" if warm_up["ended"] else f"warming up {warm_up['done']}/{warm_up['of']}, "
        holds = f", holds: {hold['reason']}" if hold["on"] else ""
        return f"{progress}{status['live']}/{status['universe']} contracts live, book {status['book']['size']}{holds}"

    def rankings(self, kind: str = "COMPOSITE") -> list[dict[str, Any]]:
        """Every contract with a score of that kind, best first. Raises KeyError for an unknown kind.

        Scores are at most `RANKED_S` old; whatever else is told is in it at once.
        """
        return drained(self.ranking_steps(kind))

    def ranking_steps(self, kind: str = "COMPOSITE") -> Generator[None, None, list[dict[str, Any]]]:
        """`rankings` in steps of a few ms."""
        kept = self._ranked.get(kind)
        if kept is not None and time.monotonic() - kept[0] <= RANKED_S:
            return kept[1]
        told, began = self.told, time.monotonic()
        rows = yield from self._engine.ranking_steps(kind)
        held = {holding.symbol for holding in self._book.holdings}
        for row in rows:
            symbol = row["symbol"]
            row["symbol_id"] = self._id(symbol)
            row["in_book"] = symbol in held
        if told == self.told:
            self._ranked[kind] = (began, rows)
        return rows

    def _id(self, symbol: str) -> str:
        """Made once: seven hundred hashes would be a tenth of a ranking."""
        if symbol not in self._ids:
            self._ids[symbol] = symbol_id(symbol)
        return self._ids[symbol]

    def portfolio(self) -> dict[str, Any]:
        """Holdings best first, cash and why, hold."""
        facts, hold = self._told.facts, self._told.hold
        money, now = facts.money, facts.as_of
        return {
            "holdings": [
                self._shown_holding(holding, now, facts.composites) | _money(money, holding)
                for holding in self._book.holdings
            ],
            "cash": self._book.cash,
            "cash_reason": [reason["text"] for reason in facts.why_cash],
            "cash_reasons": facts.why_cash,
            "blocked": list(self._book.blocked),
            "hold": hold is not None,
            "hold_reason": hold,
            "size": len(self._book.holdings),
            "max_symbols": self._engine.settings.portfolio.max_symbols,
            "notice": self._notice(facts.weights_kept),
            "as_of": iso(now),
        }

    def _notice(self, conflict: str) -> str | None:
        """What a reader of the book must know first: nobody is heard, history still loads, or limits conflict."""
        if not _is_heard(self._feed()):
            return "the venue does not answer: nothing here is new"
        warm_up = self._engine.warm_up
        if warm_up["ended"]:
            return f"the weights stay as they were, no others keep the limits: {conflict}" if conflict else None
        if not warm_up["of"]:
            return "waiting for the venue's contracts"
        return f"warming up {warm_up['done']}/{warm_up['of']}: scores are not complete yet"

    def statistics(self) -> dict[str, Any]:
        """The book and its money at a glance: weights, scores, risk, ledger, positions."""
        shown: dict[str, Any] = with_times(self._engine.statistics())
        return shown

    def metrics(self, window: str) -> dict[str, Any]:
        """Risk and performance over 1d, 7d, 30d or all. Raises KeyError for another window."""
        shown: dict[str, Any] = with_times(self._engine.metrics(window))
        return shown

    def attribution(self, window: str) -> dict[str, Any]:
        """Where the return over such a window came from. Raises KeyError for another window."""
        shown: dict[str, Any] = with_times(self._engine.attribution(window))
        return shown

    def optimise(self, name: str) -> dict[str, Any]:
        """What an optimiser would make of the book now. Raises KeyError for an unknown name."""
        shown: dict[str, Any] = with_times(self._engine.optimise(name))
        return shown

    def swaps(self) -> dict[str, Any]:
        """What swaps earned against not swapping, and what a point of score earned."""
        shown: dict[str, Any] = with_times(self._engine.swaps())
        return shown

    def signal_statistics(self) -> dict[str, Any]:
        """Signals by state, source and type, how long each stage took, and the scorecards."""
        found = {**self._engine.signal_statistics(), "scorecards": self._engine.scorecards()}
        found["scorecards"].pop("as_of")
        shown: dict[str, Any] = with_times(found)
        return shown

    def explain(self, symbol: str) -> dict[str, Any]:
        """Parts, contributions, gates, rank, smallest change. Raises KeyError."""
        found = self._engine.explain(symbol)
        base = found["neutral"]
        contributions = sum(component["contribution"] for component in found["components"])
        return {
            **found,
            "rules": {**found["rules"], "barred_until": iso(found["rules"]["barred_until"])},
            "symbol_id": symbol_id(symbol),
            "as_of": iso(found["as_of"]),
            "in_book": any(holding.symbol == symbol for holding in self._book.holdings),
            "holding": self._explained_holding(symbol),
            "sum": {
                "base": base,
                "contributions": contributions,
                "composite": base + contributions,
                "published": found["score"],
            },
        }

    def symbol_steps(self) -> Generator[None, None, list[dict[str, Any]]]:
        """Every known contract with its facts, in steps of a few ms."""
        rows = []
        for place, symbol in enumerate(tuple(self._engine.market.by_symbol), 1):
            rows.append(self.symbol(symbol))
            if place % AT_ONCE == 0:
                yield
        return rows

    def symbol(self, symbol: str) -> dict[str, Any]:
        """One contract with its facts. Raises KeyError for one that is not known."""
        contract, standing = self._engine.market.by_symbol[symbol].contract, self._engine.standing(symbol)
        return {
            **msgspec.to_builtins(contract),
            "symbol_id": self._id(symbol),
            "listed_at": iso(contract.listed_at),
            "expires_at": iso(contract.expires_at),
            "status": standing.status,
            "sector": standing.sector,
            "turnover_24h": standing.turnover,
            "in_universe": standing.in_universe,
            "live": standing.live,
            "age_s": self._engine.age_s(symbol),
            "in_book": any(holding.symbol == symbol for holding in self._book.holdings),
        }

    def listed(self) -> Mapping[str, str]:
        """The id of every known contract, by symbol."""
        known = self._engine.market.by_symbol
        if len(self._ids) != len(known):  # a contract keeps its row for good
            self._ids |= {symbol: self._id(symbol) for symbol in known}
        return self._ids

    def _shown_holding(self, holding: Holding, now: int, composites: Mapping[str, float]) -> dict[str, Any]:
        state = self._engine.market.by_symbol.get(holding.symbol)
        live = composites.get(holding.symbol, float("nan"))
        return {
            "rank": holding.rank,
            "symbol": holding.symbol,
            "symbol_id": symbol_id(holding.symbol),
            "sector": self._engine.market.sector(state) if state is not None else None,
            "weight": holding.weight,
            "score": holding.score,
            "score_now": live if live == live else None,
            "since": iso(holding.since),
            "age_s": max(0, now - holding.since) / 1e9,
            "pinned": holding.pinned,
            "replacement_candidate": holding.replacement_candidate,
            "flags": list(holding.flags),
            "id": holding.id,
        }

    def _explained_holding(self, symbol: str) -> dict[str, Any] | None:
        for holding in self._book.holdings:
            if holding.symbol == symbol:
                return self._shown_holding(holding, self._engine.now, {symbol: self._told.composite(symbol)})
        return None

    def _shown_change(self) -> dict[str, Any] | None:
        change = self._last_change
        if change is None:
            return None
        return {
            "at": iso(change.ts),
            "kind": change.kind,
            "reason": change.reason,
            "symbol_in": change.symbol_in,
            "symbol_out": change.symbol_out,
            "who": change.who,
        }
