"""The parts of the core side by side, and what one asks of another in the other's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.engine.ids import IdSource
from zmart_stream.engine.paper import PaperMarket
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState
from zmart_stream.portfolio.analyses import Analyses
from zmart_stream.portfolio.manager import PortfolioManager
from zmart_stream.portfolio.reports import Reports
from zmart_stream.portfolio.symbols import SymbolManager
from zmart_stream.scoring.base import Scorer
from zmart_stream.scoring.engine import ScoringEngine

DAY_NS = 86_400 * 1_000_000_000


class Facts:
    """What a contract's standing takes from its listing: worked out once, asked for at every close."""

    __slots__ = ("contract", "expires", "is_linear_usdt_crypto", "sector", "sectors", "stage")

    def __init__(self, contract: Contract, sectors: dict[str, str], sector: str | None) -> None:
        self.contract = contract
        self.sectors = sectors
        self.sector = sector
        self.is_linear_usdt_crypto = contract.is_linear_usdt_crypto
        self.stage = contract.market_stage
        self.expires = contract.expires_at is not None


class Stages:
    """Market, scoring and the book, wired: the book gets standings and correlations, never the stages themselves."""

    def __init__(self, settings: CoreSettings, scorers: Sequence[Scorer], *, session: int, revision: int) -> None:
        self.settings = settings
        self.revision = revision
        self.ids = IdSource(session)
        probe_usdt, sectors = settings.scoring.probe_usdt, settings.portfolio.sectors
        self.market = MarketCache(settings.market, probe_usdt=probe_usdt, sectors=sectors)
        self.scoring = ScoringEngine(settings.scoring, scorers, self.market)
        self.paper = PaperMarket(self.market)
        new_id = self.ids.new
        self.symbols = SymbolManager(settings, new_id=new_id, correlation=self.correlation, price=self.paper.leg)
        self.symbols.reconfigure(settings, revision=revision)
        self.manager = PortfolioManager(settings, self.symbols, self.paper, new_id=new_id)
        self.reports = Reports(self.manager)
        self.analyses = Analyses(self.manager, self.paper)
        self._facts: dict[int, Facts] = {}

    def standings(self, now: int) -> dict[str, Standing]:
        """Every known contract as the book's rules see it at `now` (ns), in row order."""
        return {state.symbol: self.standing(state, now) for state in self.market.states}

    def standing(self, state: ContractState, now: int) -> Standing:
        """One contract as the book's rules see it."""
        score, confidence = self.scoring.published(state.row)
        turnover, spread = state.turnover_24h_row, state.spread_ew_bps
        facts = self._facts_of(state)
        return Standing(
            symbol=state.symbol,
            score=score,
            confidence=confidence,
            in_universe=state.in_universe,
            is_linear_usdt_crypto=facts.is_linear_usdt_crypto,
            status="Delisted" if state.delisted else state.status,
            stage=facts.stage,
            expires=facts.expires,
            listed_days=(now - state.listed_at) / DAY_NS if state.listed_at else None,
            turnover=turnover if turnover == turnover else None,
            spread_bps=spread if spread == spread else None,
            sides_filled=_sides_filled(state),
            live=state.live,
            sector=facts.sector,
        )

    def _facts_of(self, state: ContractState) -> Facts:
        facts = self._facts.get(state.row)
        if facts is None or facts.contract is not state.contract or facts.sectors is not self.market.sectors:
            facts = self._facts[state.row] = Facts(state.contract, self.market.sectors, self.market.sector(state))
        return facts

    def live_share(self) -> tuple[int, int]:
        """(contracts of the universe that are live, contracts of the universe)."""
        live = known_contracts = 0
        for state in self.market.states:
            if state.in_universe:
                known_contracts += 1
                live += state.live
        return live, known_contracts

    def followed_share(self) -> tuple[int, int]:
        """(contracts of the universe whose trades are not being missed now, contracts of the universe)."""
        members = [state for state in self.market.states if state.in_universe]
        return sum(1 for state in members if state.trade_lost <= 0), len(members)

    def scored_share(self) -> float:
        """Share of the universe that has a composite; 0 while the universe is empty."""
        rows = [state.row for state in self.market.states if state.in_universe]
        scored = sum(1 for row in rows if known(self.scoring.composite(row)) is not None)
        return scored / len(rows) if rows else 0.0

    def ranked(self, standings: dict[str, Standing]) -> list[int]:
        """Rows of the eligible contracts, best first; holdings are judged at a holding's limits."""
        return self.scoring.ranked(self.symbols.eligible(standings))

    def followed(self, ts: int, told: list[Message], standings: Mapping[str, Standing]) -> list[Message]:
        """What was `told` of the book's composition, and the weights and paper trades that follow from it."""
        return [*told, *self.manager.after(ts, told, standings)]

    def correlation(self, a: str, b: str) -> float:
        """EW correlation of two contracts' hour returns; nan for one that is not known."""
        one, other = self.market.by_symbol.get(a), self.market.by_symbol.get(b)
        if one is None or other is None:
            return nan
        return self.market.comovement.correlation(one.row, other.row)

    def sector(self, symbol: str) -> str | None:
        """A contract's sector; None without one."""
        state = self.market.by_symbol.get(symbol)
        return None if state is None else self._facts_of(state).sector


def known(value: float) -> float | None:
    """None for nan: absent."""
    return value if value == value else None


def _sides_filled(state: ContractState) -> bool:
    """Bid and ask in the ticker, and in the depth once one was seen."""
    quoted = state.bid > 0.0 and state.ask > 0.0
    return quoted and (not state.depth_ts or bool(state.bids and state.asks))
