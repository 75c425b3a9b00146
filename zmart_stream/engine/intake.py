"""From what the venue said to the scores it moves: everything but the two messages that come most often."""

from __future__ import annotations

from zmart_stream.domain import market as said
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.engine.stages import Stages
from zmart_stream.engine.warmup import Start
from zmart_stream.market.contract_state import ContractState, Moves


class Intake:
    """Hands each message to the market cache and what it touched to the scores."""

    def __init__(self, stages: Stages, start: Start) -> None:
        self._stages = stages
        self._market = stages.market
        self._scoring = stages.scoring
        self._start = start
        self.polled = False  # a contracts poll came since the last sweep

    def take_polled(self) -> bool:
        """Whether a contracts poll came since the last call."""
        polled, self.polled = self.polled, False
        return polled

    def take_notices(self, now: int) -> list[Message]:
        """Plug-ins that the scores left out since the last call, and the scores that this moved."""
        notices = list(self._scoring.notices)
        if not notices:
            return []
        self._scoring.notices.clear()
        return [*notices, *self._scoring.publish(now)]

    def depth(self, message: said.Depth) -> list[Message] | None:
        """The best levels a side."""
        return self._moved(self._market.depth(message), Moves.DEPTH, message.ts)

    def mark_index(self, message: said.MarkIndex) -> list[Message] | None:
        """Mark and index price."""
        return self._moved(self._market.mark_index(message), Moves.MARK, message.ts)

    def funding_estimate(self, message: said.FundingEstimate) -> None:
        """The running estimate moves no part."""
        self._market.funding_estimate(message)

    def funding_settled(self, message: said.FundingSettled) -> list[Message] | None:
        """A settlement: a part of the score, and money for the ledger."""
        told = self._moved(self._market.funding_settled(message), Moves.SETTLEMENT, message.ts)
        settled = ((message.ts_event, message.rate),)
        paid = self._stages.manager.fund(message.ts, message.symbol, settled, live=True)
        return [*(told or ()), *paid] if paid else told

    def funding_history(self, message: said.FundingHistory) -> list[Message] | None:
        """Past settlements, of which the ledger pays those that it missed."""
        told = self._moved(self._market.funding_history(message), Moves.SETTLEMENT, message.ts)
        paid = self._stages.manager.fund(message.ts, message.symbol, message.settlements, live=False)
        return [*(told or ()), *paid] if paid else told

    def stats(self, message: said.ContractStats) -> list[Message] | None:
        """A row of the contracts poll: open interest, mark and index, status, and which topics are silent."""
        self.polled = True
        state = self._market.stats(message)
        if state is None:
            return None
        told: list[Message] = list(self._market.take_silent())
        told += self._moved(state, Moves.POLL, message.ts) or ()
        if message.mark is not None and message.index is not None:
            told += self._moved(state, Moves.MARK, message.ts) or ()
        return told + self._gone(state, message.ts)

    def listing(self, message: said.Listing) -> list[Message]:
        """A contract appeared, changed or left the venue's list."""
        state = self._market.listing(message)
        if state is None:
            return []
        told: list[Message] = list(self._scoring.refresh([state], message.ts))
        return told + self._gone(state, message.ts)

    def bars(self, message: said.Bars) -> list[Message]:
        """History, a refill or a repair: scores move with the next sweep, no decision is undone."""
        state = self._market.load(message)
        told: list[Message] = []
        if self._start.bars_told:
            told += self._market.take_amended()
        else:
            self._market.forget_amended()
        if state is not None:
            self._scoring.row_loaded(state)
        return told

    def coverage(self, message: said.Coverage) -> None:
        """A topic became complete or was lost; the next sweep judges what that means."""
        self._market.coverage(message)

    def _moved(self, state: ContractState | None, moves: Moves, ts: int) -> list[Message] | None:
        change: ScoreChanged | None = None if state is None else self._scoring.touch(state, moves, ts)
        return None if change is None else [change]

    def _gone(self, state: ContractState, ts: int) -> list[Message]:
        """A holding that was delisted or settled leaves at once."""
        symbols = self._stages.symbols
        if symbols.holding(state.symbol) is None or not self._stages.standing(state, ts).is_gone:
            return []
        if not self._start.may_judge(ts):
            return []
        standings = self._stages.standings(ts)
        return self._stages.followed(ts, symbols.gone(ts, state.symbol, standings), standings)
