"""What one transaction writes: collected from messages off the loop, then executed in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from zmart_stream.domain.bars import BarBlock, BarsAmended
from zmart_stream.domain.commands import Command, CommandDone, Reconfigure
from zmart_stream.domain.market import Listing
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import FlagsChanged, HoldChanged, Portfolio, PortfolioChange
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage import rows, statements
from zmart_stream.storage.items import OverridesRecorded, SnapshotTaken, SymbolsJudged
from zmart_stream.storage.ledger_batch import LedgerBatch
from zmart_stream.storage.rows import Row, many
from zmart_stream.storage.signal_batch import SignalBatch
from zmart_stream.storage.snapshots import pack
from zmart_stream.storage.statements import Statements

BookStep = PortfolioChange | FlagsChanged | ScoresClosed


class Batch:
    """The rows of one transaction. Nothing in it changes when it is executed, so it can be executed again."""

    def __init__(self, messages: Iterable[Message], *, sequence: int, known: frozenset[str] | set[str]) -> None:
        """Collect `messages` in order; `sequence` is the last one given out, `known` the symbols stored already.

        Encodes and compresses: call it off the loop.
        """
        self.sequence = sequence
        self._known = known
        self._contracts: dict[str, Row] = {}
        self._named: dict[str, Row] = {}
        self._facts: list[Row] = []
        self._blocks: dict[tuple[int, int], Row] = {}
        self._amendments: dict[tuple[int, int, str], Row] = {}
        self._scores: list[Row] = []
        self._book: list[tuple[BookStep, int]] = []
        self._holds: list[Row] = []
        self._actions: list[Row] = []
        self._answers: list[Row] = []
        self._revisions: list[Row] = []
        self._algorithms: dict[str, Row] = {}
        self._overrides: dict[str, Row] = {}
        self._forgotten: dict[str, Row] = {}
        self._snapshot: Row | None = None
        self._ledger = LedgerBatch(self._next, self._name)
        self._signals = SignalBatch(self._next, self._name)
        takers = self._takers()
        for message in messages:
            for kind, take in takers:
                if isinstance(message, kind):
                    take(message)

    def _takers(self) -> tuple[tuple[type[Message], Callable[[Any], None]], ...]:
        return (
            (Listing, self._listing),
            (SymbolsJudged, self._judged),
            (BarBlock, self._block),
            (BarsAmended, self._amended),
            (ScoresClosed, self._closed),
            (PortfolioChange, self._change),
            (FlagsChanged, self._step),
            (HoldChanged, self._hold),
            (Command, self._command),
            (Reconfigure, self._reconfigure),
            (CommandDone, self._answer),
            (OverridesRecorded, self._override),
            (SnapshotTaken, self._taken),
            *self._ledger.takers(),
            *self._signals.takers(),
        )

    @property
    def symbols(self) -> set[str]:
        """Symbols that have a row once this is committed."""
        return self._contracts.keys() | self._named.keys()

    @property
    def has_snapshot(self) -> bool:
        """True when a close's state is in it: the moment to thin and delete."""
        return self._snapshot is not None

    def shed_scores(self) -> int:
        """Leave the score rows out; returns how many there were. The book's rows keep everything they need."""
        shed, self._scores = len(self._scores), []
        self._book = [step for step in self._book if not isinstance(step[0], ScoresClosed)]
        return shed

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def _name(self, symbols: Iterable[str], ts: int) -> None:
        """A row that refers to a contract needs one of it; the venue's description may come later."""
        for symbol in symbols:
            if symbol not in self._known and symbol not in self._named:
                self._named[symbol] = rows.unknown_contract_row(symbol, ts)

    def _listing(self, listing: Listing) -> None:
        self._contracts[listing.contract.symbol] = rows.contract_row(listing)

    def _judged(self, judged: SymbolsJudged) -> None:
        self._name((fact.symbol for fact in judged.rows), judged.ts)
        self._facts += (
            {
                "owner": symbol_id(fact.symbol),
                "eligible": fact.eligible,
                "sector": fact.sector,
                "category": fact.market_cap_category,
                "at": judged.ts,
            }
            for fact in judged.rows
        )

    def _block(self, block: BarBlock) -> None:
        """A block says what its bars are from now on; amendments that came before it are part of it."""
        key = block.interval_s, block.start
        self._blocks[key] = rows.block_row(block)
        for stale in [amendment for amendment in self._amendments if amendment[:2] == key]:
            del self._amendments[stale]

    def _amended(self, amended: BarsAmended) -> None:
        for row in rows.amendment_rows(amended):
            self._amendments[row["interval_s"], row["start_ns"], row["symbol"]] = row

    def _closed(self, closed: ScoresClosed) -> None:
        self._name((row.symbol for row in closed.rows), closed.ts)
        self._scores += rows.score_rows(closed)
        self._step(closed)

    def _change(self, change: PortfolioChange) -> None:
        named = [symbol for symbol in (change.symbol_in, change.symbol_out, rows.named_in(change)) if symbol]
        self._name([*named, *(holding.symbol for holding in change.after.holdings)], change.ts)
        self._step(change)

    def _step(self, step: BookStep) -> None:
        self._book.append((step, self._next()))

    def _hold(self, hold: HoldChanged) -> None:
        self._holds.append(
            {"sequence": self._next(), "ts_ns": hold.ts, "is_on": hold.on, "reason": rows.plain(hold.reason)}
        )

    def _command(self, command: Command) -> None:
        if command.request_id and not isinstance(command, SubmitSignal):
            self._actions.append(rows.action_row(command, self._next()))

    def _answer(self, done: CommandDone) -> None:
        if done.request_id and not self._signals.answers(done):
            self._answers.append(rows.answer_row(done, self._next()))

    def _reconfigure(self, command: Reconfigure) -> None:
        self._revisions.append(rows.revision_row(command))
        for row in rows.algorithm_rows(command.settings.scoring.components, command.ts):
            self._algorithms[row["id"]] = row

    def _override(self, recorded: OverridesRecorded) -> None:
        for key, value in recorded.values.items():
            if value is None:
                self._overrides.pop(key, None)
                self._forgotten[key] = {"key": key}
        for row in rows.override_rows(recorded):
            self._forgotten.pop(row["config_key"], None)
            self._overrides[row["config_key"]] = row

    def _taken(self, snapshot: SnapshotTaken) -> None:
        self._snapshot = {"sequence": self._next(), "ts_ns": snapshot.ts, "payload": pack(snapshot.state)}

    def execute(self, connection: Connection, to: Statements) -> None:
        """Write everything in the caller's transaction."""
        many(connection, to.contract, self._contracts.values())
        many(connection, to.contract_named, self._named.values())
        many(connection, statements.JUDGE_SYMBOL, self._facts)
        many(connection, to.block, self._blocks.values())
        many(
            connection,
            statements.FORGET_AMENDMENTS,
            [{"interval": interval, "start": start} for interval, start in self._blocks],
        )
        many(connection, to.amendment, self._amendments.values())
        many(connection, to.score, self._scores)
        self._execute_book(connection, to)
        self._ledger.execute(connection, to)
        self._signals.execute(connection, to)
        many(connection, to.hold, self._holds)
        many(connection, to.action, self._actions)
        many(connection, to.answer, self._answers)
        many(connection, to.revision, self._revisions)
        many(connection, to.algorithm, self._algorithms.values())
        many(connection, statements.FORGET_OVERRIDE, self._forgotten.values())
        many(connection, to.override, self._overrides.values())
        many(connection, to.snapshot, [self._snapshot] if self._snapshot else [])

    def _execute_book(self, connection: Connection, to: Statements) -> None:
        ids = [step.id for step, _ in self._book if isinstance(step, PortfolioChange)]
        done: set[str] = set()
        if ids:
            done |= {row.id for row in connection.execute(statements.known_changes(ids))}
        for step, sequence in self._book:
            if isinstance(step, ScoresClosed):
                scored = [
                    {"owner": symbol_id(row.symbol), "score": round(row.score, 6), "end": step.end} for row in step.rows
                ]
                many(connection, statements.SCORE_HOLDING, scored)
            elif isinstance(step, FlagsChanged):
                many(connection, statements.FLAG_HOLDING, _flags(step.portfolio))
            elif step.id not in done:
                done.add(step.id)
                _change_book(connection, to, step, sequence)


def _change_book(connection: Connection, to: Statements, change: PortfolioChange, sequence: int) -> None:
    """The history row and the composition that it leads to."""
    many(connection, to.history, [rows.history_row(change, sequence)])
    stays = {holding.id for holding in change.after.holdings}
    active = connection.execute(statements.ACTIVE_STAYS)
    gone = [{"stay": row.id, "at": change.ts} for row in active if row.id not in stays]
    connection.execute(statements.CLEAR_RANKS)
    many(connection, statements.RETIRE_HOLDING, gone)
    many(connection, to.holding, [rows.holding_row(holding) for holding in change.after.holdings])
    if change.after.blocked != change.before.blocked:
        blocked = [{"owner": symbol_id(symbol), "place": n} for n, symbol in enumerate(change.after.blocked)]
        connection.execute(statements.UNBLOCK_ALL)
        many(connection, statements.BLOCK_SYMBOL, blocked)


def _flags(portfolio: Portfolio) -> Sequence[Row]:
    return [
        {
            "stay": holding.id,
            "score": holding.score,
            "candidate": holding.replacement_candidate,
            "marks": rows.document(holding.flags),
        }
        for holding in portfolio.holdings
    ]
