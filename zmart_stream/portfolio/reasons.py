"""Reasons without acts: why part of the book is cash, and what would bring a contract in or out."""

from __future__ import annotations

from math import ceil, inf

import msgspec

from zmart_stream.domain.portfolio import Holding
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book
from zmart_stream.portfolio.caps import Obstacle
from zmart_stream.portfolio.eligibility import failing
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.memory import Memory

_UNPAYABLE = inf
_STEP = 1e-6
"""Scores are rounded to this; "above" means by this much."""


class CashReason(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One reason why money is not invested: stable code, words, figures."""

    code: str  # reserve, max_weight, automatic_off, not_filled, entry_score, confirm, swap_limit, sector, reentry...
    text: str
    numbers: dict[str, float | str | None] = {}


class Outlook(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a contract's composite would have to be to enter or leave the book, and by which rule.

    `target` None: no score would do it, `text` says why.
    """

    moves: str  # "in" or "out"
    rule: str  # entry_score, replace, exit_score, none
    target: float | None
    text: str


class Reasons:
    """Answers from the book, the memory and a field; changes nothing."""

    def __init__(self, book: Book, memory: Memory, settings: PortfolioSettings) -> None:
        self._book = book
        self._memory = memory
        self._settings = settings

    def why_cash(self, field: Field) -> tuple[CashReason, ...]:
        """Why the book has cash; empty when it has none."""
        count, places = len(self._book.holdings), self._settings.max_symbols
        if self._book.portfolio.cash <= 0.0 and count >= places:
            return ()
        reasons = []
        if self._settings.cash > 0.0:
            reasons.append(self._reserve())
        if 0 < count * self._settings.max_weight < 100.0 - self._settings.cash:
            reasons.append(self._max_weight(count))
        if count < places:
            reasons.extend(self._free_places(field, places - count))
        return tuple(reasons)

    def outlook(self, field: Field, symbol: str) -> Outlook:
        """What would move `symbol` across the border of the book."""
        holding = self._book.get(symbol)
        return self._way_out(field, holding) if holding is not None else self._way_in(field, symbol)

    def _reserve(self) -> CashReason:
        kept = self._settings.cash
        return CashReason(code="reserve", text=f"portfolio.cash keeps {kept:g} % uninvested", numbers={"kept": kept})

    def _max_weight(self, count: int) -> CashReason:
        limit, cash = self._settings.max_weight, self._book.portfolio.cash
        each = (
            f"{count} holdings of at most {limit:g} % each leave"
            if count > 1
            else f"1 holding of at most {limit:g} % leaves"
        )
        text = f"{each} {cash:.2f} % in cash"
        return CashReason(code="max_weight", text=text, numbers={"holdings": count, "max_weight": limit, "cash": cash})

    def _free_places(self, field: Field, free: int) -> list[CashReason]:
        if not self._settings.automatic:
            text = f"{_places(free)} free and portfolio.automatic is off: only an operator fills them"
            return [CashReason(code="automatic_off", text=text, numbers={"free": free})]
        best, blocked = self._survey(field)
        return [self._best(field, best, free), *blocked]

    def _survey(self, field: Field) -> tuple[Standing | None, list[CashReason]]:
        """The best candidate, and for each kind of obstacle the contracts above the entry score that it keeps out."""
        best: Standing | None = None
        blocked: dict[str, tuple[int, Obstacle]] = {}
        for standing in field.eligible:
            if self._book.get(standing.symbol) is not None:
                continue
            worthy = (standing.score or 0.0) >= self._settings.entry_score
            if best is not None and not worthy:
                break
            breach = self._obstacle(field, standing.symbol)
            if breach is None:
                best = best or standing
            elif worthy:
                count, first = blocked.get(breach.code, (0, breach))
                blocked[breach.code] = (count + 1, first)
        reasons = [
            CashReason(code=code, text=_counted(count, first.text), numbers={"contracts": count, **first.numbers})
            for code, (count, first) in blocked.items()
        ]
        return best, reasons

    def _obstacle(self, field: Field, symbol: str) -> Obstacle | None:
        if self._memory.is_barred(symbol, field.ts):
            until = self._memory.barred[symbol]
            when = "only an operator brings it back" if until is None else "it left too short a time ago"
            return Obstacle(code="reentry", text=f"{symbol}: {when}", numbers={"symbol": symbol})
        return field.breach(symbol, self._book.symbols)

    def _best(self, field: Field, best: Standing | None, free: int) -> CashReason:
        numbers: dict[str, float | str | None] = {"free": free, "eligible": len(field.eligible)}
        if best is None or best.score is None:
            text = f"{_places(free)} free and no candidate is left among {len(field.eligible)} eligible contracts"
            return CashReason(code="no_candidate", text=text, numbers=numbers)
        entry = self._settings.entry_score
        numbers = {**numbers, "candidate": best.symbol, "score": best.score, "entry_score": entry}
        if best.score < entry:
            text = f"best candidate {best.symbol} at {best.score:.2f} is below entry_score {entry:g}"
            return CashReason(code="entry_score", text=text, numbers=numbers)
        if not self._memory.filled:
            text = f"the first fill has not come yet; best candidate {best.symbol} at {best.score:.2f}"
            return CashReason(code="not_filled", text=text, numbers=numbers)
        if self._memory.vacated >= free and self._memory.swaps_in_day(field.ts) >= self._settings.max_swaps_per_day:
            text = f"{best.symbol} waits: {self._settings.max_swaps_per_day} swaps in 24 hours are the limit"
            return CashReason(code="swap_limit", text=text, numbers=numbers)
        streak, confirm = self._memory.fill_streak, self._settings.fill_confirm
        text = (
            f"{best.symbol} at {best.score:.2f} waits for close {streak + 1} of {confirm} above entry_score {entry:g}"
        )
        return CashReason(code="confirm", text=text, numbers={**numbers, "closes": streak, "fill_confirm": confirm})

    def _way_out(self, field: Field, holding: Holding) -> Outlook:
        if holding.pinned:
            text = "pinned: only its delisting or an operator takes it out"
            return Outlook(moves="out", rule="none", target=None, text=text)
        exit_at = self._settings.exit_score - _STEP
        text = f"below exit_score {self._settings.exit_score:g} at {self._settings.exit_confirm} closes in a row"
        stays = Outlook(moves="out", rule="exit_score", target=exit_at, text=text)
        best = field.best(self._book.symbols, self._memory, instead_of=holding.symbol)
        if best is None or best.score is None:
            return stays
        lead, why = self._lead(field, holding.symbol, best.symbol)
        replaced_at = best.score - lead
        if replaced_at <= exit_at:
            return stays
        text = (
            f"{lead:g} points below {best.symbol} ({best.score:.2f}{why}) at {self._settings.confirm} closes in a row"
        )
        return Outlook(moves="out", rule="replace", target=round(replaced_at, 6), text=text)

    def _lead(self, field: Field, symbol_out: str, symbol_in: str) -> tuple[float, str]:
        """Points that a candidate must lead by, margin and pays together (inf: no lead pays), and a word on why."""
        margin, verdict = self._settings.replace_margin, field.verdict(symbol_out, symbol_in)
        paid = _UNPAYABLE
        if verdict.needs_bps <= 0.0:
            paid = 0.0
        elif verdict.bps_per_point > 0.0 and verdict.needs_bps == verdict.needs_bps:
            paid = ceil(verdict.needs_bps / verdict.bps_per_point / _STEP - 1e-3) * _STEP
        if paid <= margin:
            return margin, ""
        return round(paid, 6), f", which is when it pays: {verdict.cost_safety:g} × {verdict.cost_bps:.1f} bps of cost"

    def _way_in(self, field: Field, symbol: str) -> Outlook:
        standing = field.standings.get(symbol)
        if standing is None:
            return _never("the contract is not listed")
        shut = [gate for gate in failing(field.eligibility.candidate_gates(standing)) if gate.name != "composite"]
        if shut:
            return _never("not eligible: " + "; ".join(str(gate) for gate in shut))
        if self._memory.is_barred(symbol, field.ts):
            return _never("in re-entry time" if self._memory.barred[symbol] is not None else "removed by an operator")
        if len(self._book.holdings) < self._settings.max_symbols:
            return self._into_free_place(field, symbol)
        return self._into_a_holdings_place(field, symbol)

    def _into_free_place(self, field: Field, symbol: str) -> Outlook:
        breach = field.breach(symbol, self._book.symbols)
        if breach is not None:
            return _never(breach.text)
        entry, closes = self._settings.entry_score, self._settings.fill_confirm
        text = f"entry_score {entry:g} at {closes} closes in a row while a place is free"
        return Outlook(moves="in", rule="entry_score", target=entry, text=text)

    def _into_a_holdings_place(self, field: Field, symbol: str) -> Outlook:
        refused = ""
        for holding in sorted(self._book.holdings, key=lambda held: (held.score or 0.0, -held.rank)):
            beside = [held for held in self._book.symbols if held != holding.symbol]
            score = field.score(holding.symbol)
            if holding.pinned or score is None:
                continue
            breach = field.breach(symbol, beside)
            lead, why = self._lead(field, holding.symbol, symbol)
            if breach is not None or lead == _UNPAYABLE:
                refused = breach.text if breach is not None else field.verdict(holding.symbol, symbol).reason()
                continue
            target, text = score + lead, f"{lead:g} points above {holding.symbol} ({score:.2f}{why})"
            rival = field.best(self._book.symbols, self._memory, instead_of=holding.symbol, beside=symbol)
            if rival is not None and rival.score is not None and rival.score + _STEP > target:
                target, text = rival.score + _STEP, f"{text} and above the best candidate {rival.symbol}"
            text = f"{text} at {self._settings.confirm} closes in a row"
            if target > 100.0:
                return _never(f"{text}, which is above 100")
            return Outlook(moves="in", rule="replace", target=round(target, 6), text=text)
        return _never(refused or "no holding may be replaced")


def _never(text: str) -> Outlook:
    return Outlook(moves="in", rule="none", target=None, text=text)


def _counted(count: int, first: str) -> str:
    return first if count == 1 else f"{first}; so for {count} contracts above entry_score"


def _places(free: int) -> str:
    return "1 place is" if free == 1 else f"{free} places are"
