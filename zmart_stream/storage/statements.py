"""The statements of the write path, built once for a dialect."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Executable, Table, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from zmart_stream.storage import tables
from zmart_stream.storage.tables import ACTIVE, REMOVED

_composition = tables.portfolio_composition
_active = _composition.c.status == ACTIVE


class Statements:
    """Every statement of the writer. Upserts say what a second row of the same key replaces."""

    def __init__(self, dialect: str) -> None:
        """`dialect` is sqlite or postgresql."""
        self._insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self.contract = self._put(
            tables.symbols,
            "id",
            replaces="root_symbol base_currency quote_currency lot_size tick_size max_leverage sector_category "
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
        self.holding = self._put(
            _composition,
            "id",
            replaces="position_rank current_score weight_percentage status is_replacement_candidate is_pinned flags "
            "removal_date",
        )
        self.hold = self._once(tables.holds)
        self.action = self._once(tables.operator_actions)
        self.answer = self._put(tables.operator_actions, "request_id", replaces="accepted code detail")
        self.revision = self._once(tables.config_revisions)
        self.override = self._put(tables.system_configuration, "id", replaces="config_value updated_by updated_at")
        self.snapshot = self._once(tables.snapshots)

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
    .values(current_score=bindparam("score"), is_replacement_candidate=bindparam("candidate"), flags=bindparam("marks"))
)
SCORE_HOLDING = (
    update(_composition)
    .where(_composition.c.symbol_id == bindparam("owner"), _active)
    .values(current_score=bindparam("score"))
)
ACTIVE_STAYS = select(_composition.c.id).where(_active)


def known_changes(ids: list[str]) -> Any:
    """Which of these changes the history already holds."""
    return select(tables.portfolio_history.c.id).where(tables.portfolio_history.c.id.in_(ids))
