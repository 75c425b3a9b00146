"""The statements of the write path, built once for a dialect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Executable, Table, and_, bindparam, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from zmart_stream.domain.signals import FINAL
from zmart_stream.storage import tables
from zmart_stream.storage.signal_tables import IS_KEYED
from zmart_stream.storage.tables import ACTIVE, REMOVED

_composition = tables.portfolio_composition
_active = _composition.c.status == ACTIVE
_signal = tables.signals


class Statements:
    """Every statement of the writer. Upserts say what a second row of the same key replaces."""

    def __init__(self, dialect: str) -> None:
        """`dialect` is sqlite or postgresql."""
        self._insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self.contract = self._put(
            tables.symbols,
            "id",
            replaces="root_symbol base_currency quote_currency lot_size tick_size max_leverage "
            "updated_at status contract",
        )
        self.contract_named = self._once(tables.symbols)
        self.algorithm = self._put(
            tables.scoring_algorithms, "id", replaces="algorithm_type weight parameters is_active updated_at"
        )
        self.block = self._put(tables.bar_blocks, "interval_s", "start_ns", replaces="ts_ns row_count payload")
        self.amendment = self._put(
            tables.bar_amendments,
            "interval_s",
            "start_ns",
            "symbol",
            replaces="ts_ns open high low close lots turnover",
        )
        self.score = self._once(tables.symbol_scores)
        self.history = self._once(tables.portfolio_history)
        self.holding = self._put_holding()
        self.hold = self._once(tables.holds)
        self.action = self._once(tables.operator_actions)
        self.answer = self._put(tables.operator_actions, "request_id", replaces="accepted code detail")
        self.revision = self._once(tables.config_revisions)
        self.override = self._put(tables.system_configuration, "id", replaces="config_value updated_by updated_at")
        self.snapshot = self._once(tables.snapshots)
        self.equity = self._once(tables.equity_points)
        self.swap = self._put_swap()
        self.funding = self._once(tables.funding_payments)
        self.trade = self._once(tables.paper_trades)
        self.signal = self._once(tables.signals)
        self.step = self._once(tables.signal_steps)
        self.opinion = self._once(tables.signal_evaluations)
        self.outcome = self._once_for_known_signals(tables.signal_outcomes)
        self.entry = self._once(tables.outbox)
        self.user = self._put(tables.users, "id", replaces="name scopes token_hash revoked_at")

    def _put_holding(self) -> Executable:
        """A stay as it is now; a score that moved without its row is one of no close."""
        names = "position_rank current_score weight_percentage status is_replacement_candidate is_pinned flags"
        put = self._insert(_composition)
        changed = {name: put.excluded[name] for name in [*names.split(), "removal_date"]}
        same = put.excluded.current_score == _composition.c.current_score
        changed["scored_end_ns"] = case((same, _composition.c.scored_end_ns))
        upsert: Executable = put.on_conflict_do_update(index_elements=["id"], set_=changed)
        return upsert

    def _put_swap(self) -> Executable:
        """A swap as it was measured last; a final result stays."""
        put = self._insert(tables.swap_ledger)
        names = "ts_ns start_equity costs unswapped swapped spread_bps is_final".split()
        upsert: Executable = put.on_conflict_do_update(
            index_elements=["id"],
            set_={name: put.excluded[name] for name in names},
            where=tables.swap_ledger.c.is_final.is_(False),
        )
        return upsert

    def _once_for_known_signals(self, table: Table) -> Executable:
        """A signal may have been deleted for its age before its outcome came, if the daemon was away for long."""
        values = [bindparam(column.name, type_=column.type) for column in table.c]
        known = select(_signal.c.id).where(_signal.c.id == bindparam("signal_id", type_=_signal.c.id.type)).exists()
        chosen = select(*values).where(known)
        statement: Executable = (
            self._insert(table).from_select([column.name for column in table.c], chosen).on_conflict_do_nothing()
        )
        return statement

    def _once(self, table: Table) -> Executable:
        statement: Executable = self._insert(table).on_conflict_do_nothing()
        return statement

    def _put(self, table: Table, *key: str, replaces: str) -> Executable:
        statement = self._insert(table)
        changed = {name: statement.excluded[name] for name in replaces.split()}
        upsert: Executable = statement.on_conflict_do_update(index_elements=list(key), set_=changed)
        return upsert


JUDGE_SYMBOL = (
    update(tables.symbols)
    .where(tables.symbols.c.id == bindparam("owner"))
    .values(
        is_eligible_for_management=bindparam("eligible"),
        sector_category=bindparam("sector"),
        market_cap_category=bindparam("category"),
        updated_at=bindparam("at"),
    )
)
FORGET_AMENDMENTS = delete(tables.bar_amendments).where(
    tables.bar_amendments.c.interval_s == bindparam("interval"), tables.bar_amendments.c.start_ns == bindparam("start")
)
FORGET_OVERRIDE = delete(tables.system_configuration).where(
    tables.system_configuration.c.config_key == bindparam("key")
)
# a re-rank swaps places: with all ranks gone first, none of the new ones can meet an old one
CLEAR_RANKS = update(_composition).where(_active).values(position_rank=None)
RETIRE_HOLDING = (
    update(_composition)
    .where(_composition.c.id == bindparam("stay"))
    .values(status=REMOVED, position_rank=None, weight_percentage=0, removal_date=bindparam("at"))
)
FLAG_HOLDING = (
    update(_composition)
    .where(_composition.c.id == bindparam("stay"), _active)
    .values(
        current_score=bindparam("score"),
        scored_end_ns=case((_composition.c.current_score == bindparam("score"), _composition.c.scored_end_ns)),
        is_replacement_candidate=bindparam("candidate"),
        flags=bindparam("marks"),
    )
)
SCORE_HOLDING = (
    update(_composition)
    .where(_composition.c.symbol_id == bindparam("owner"), _active)
    .values(current_score=bindparam("score"), scored_end_ns=bindparam("end"))
)
UNBLOCK_ALL = (
    update(tables.symbols)
    .where(tables.symbols.c.blocked_place.is_not(None))
    .values(blocked_place=None, is_eligible_for_management=True)
)
BLOCK_SYMBOL = (
    update(tables.symbols)
    .where(tables.symbols.c.id == bindparam("owner"))
    .values(blocked_place=bindparam("place"), is_eligible_for_management=False)
)
ACTIVE_STAYS = select(_composition.c.id).where(_active)


# a key is remembered for a day: used again later, it is the later signal's
RELEASE_KEY = (
    update(_signal)
    .where(
        _signal.c.owner == bindparam("whose"),
        _signal.c.source_name == bindparam("source"),
        _signal.c.idempotency_key == bindparam("key"),
        _signal.c.id != bindparam("other"),
        IS_KEYED,  # in the words of the partial index, or it is not used
    )
    .values(idempotency_key=None)
)


def signal_moves(fields: Iterable[str]) -> Any:
    """An update of signals by id that sets `fields`; a signal that is at its end stays there."""
    goes_on = and_(*(_signal.c.status != status for status in FINAL))
    values: dict[str, Any] = {name: bindparam(name) for name in fields}
    return update(_signal).where(_signal.c.id == bindparam("moved"), goes_on).values(values)


MOVE_ENTRY = (
    update(tables.outbox)
    .where(tables.outbox.c.id == bindparam("moved"))
    .values({name: bindparam(name) for name in ("state", "attempts", "next_attempt_ns", "done_ns", "last_error")})
)


def known_changes(ids: list[str]) -> Any:
    """Which of these changes the history already holds."""
    return select(tables.portfolio_history.c.id).where(tables.portfolio_history.c.id.in_(ids))
