"""Domain values as table rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import Connection, Executable

from zmart_stream.domain.bars import BarBlock, BarsAmended
from zmart_stream.domain.commands import Command, CommandDone, Reconfigure
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import Listing
from zmart_stream.domain.portfolio import Holding, PortfolioChange
from zmart_stream.domain.scores import ScoreRow, ScoresClosed
from zmart_stream.domain.settings import ScorerSettings
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage.items import OverridesRecorded
from zmart_stream.storage.snapshots import pack_block
from zmart_stream.storage.tables import ACTIVE

Row = dict[str, Any]
COMPOSITE = "COMPOSITE"
_ALGORITHMS = UUID("9f3b7d52-0a4e-5c6a-9b1d-2f8e4c7a6d10")
_CONFIGURATION = UUID("c1d7a0b4-6e25-5f38-8c92-7a1f3e5b9d64")


def many(connection: Connection, statement: Executable, rows: Iterable[Row]) -> None:
    """Execute `statement` for all `rows` at once; nothing without rows."""
    given = list(rows)
    if given:
        connection.execute(statement, given)


def plain(text: str) -> str:
    """`text` without NUL characters, which PostgreSQL cannot hold."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def document(value: Any) -> msgspec.Raw:
    """`value` as JSON, encoded here so that the loop need not; nan becomes null."""
    return msgspec.Raw(msgspec.json.encode(value))


def contract_row(listing: Listing) -> Row:
    """A row of `symbols` from what the venue says."""
    contract = listing.contract
    return {
        "id": symbol_id(contract.symbol),
        "symbol": contract.symbol,
        "root_symbol": contract.root_symbol,
        "base_currency": contract.base,
        "quote_currency": contract.quote,
        "lot_size": contract.lot_size,
        "tick_size": contract.tick_size,
        "max_leverage": contract.max_leverage,
        "sector_category": contract.sector,
        "created_at": listing.ts,
        "updated_at": listing.ts,
        "status": contract.status,
        "contract": document(contract),
    }


def unknown_contract_row(symbol: str, ts: int) -> Row:
    """A row of `symbols` for a contract that is named before the venue described it: status and contract are null."""
    return {
        "id": symbol_id(symbol),
        "symbol": symbol,
        "root_symbol": symbol,
        "base_currency": "",
        "quote_currency": "",
        "lot_size": 0.0,
        "tick_size": 0.0,
        "max_leverage": 0,
        "sector_category": None,
        "created_at": ts,
        "updated_at": ts,
        "status": None,
        "contract": None,
    }


def contract_of(stored: Any) -> Contract:
    """The contract that `contract_row` stored."""
    return msgspec.convert(stored, Contract)


def holding_row(holding: Holding) -> Row:
    """An active row of `portfolio_composition`."""
    return {
        "id": holding.id,
        "symbol_id": symbol_id(holding.symbol),
        "position_rank": holding.rank,
        "inclusion_date": holding.since,
        "current_score": holding.score,
        "weight_percentage": round(holding.weight, 2),
        "status": ACTIVE,
        "is_replacement_candidate": holding.replacement_candidate,
        "is_pinned": holding.pinned,
        "flags": document(holding.flags),
        "removal_date": None,
        "since_ns": holding.since,
    }


def history_row(change: PortfolioChange, sequence: int) -> Row:
    """A row of `portfolio_history`."""
    came, left = change.symbol_in, change.symbol_out
    about = came or left or named_in(change)
    return {
        "id": change.id,
        "sequence": sequence,
        "symbol_id": symbol_id(about) if about else None,
        "replaced_symbol_id": symbol_id(left) if came and left else None,
        "action_type": change.kind,
        "action_date": change.ts,
        "reason": change.reason,
        "performed_by": plain(change.who),
        "note": plain(change.note),
        "config_revision": change.revision,
        "ts_ns": change.ts,
        "symbol_in": came,
        "symbol_out": left,
        "before": document(change.before),
        "after": document(change.after),
        "numbers": document(change.numbers),
    }


def named_in(change: PortfolioChange) -> str | None:
    """The contract of a pin or a block, which neither comes nor leaves."""
    named = change.numbers.get("symbol")
    return named if isinstance(named, str) else None


def change_of(row: Any) -> PortfolioChange:
    """The change that `history_row` stored."""
    return msgspec.convert(
        {
            "ts": row.ts_ns,
            "id": row.id,
            "kind": row.action_type,
            "reason": row.reason,
            "symbol_in": row.symbol_in,
            "symbol_out": row.symbol_out,
            "before": row.before,
            "after": row.after,
            "numbers": row.numbers,
            "who": row.performed_by,
            "note": row.note,
            "revision": row.config_revision,
            "type": "PortfolioChange",
        },
        PortfolioChange,
    )


def score_rows(closed: ScoresClosed) -> Iterator[Row]:
    """Rows of `symbol_scores`, one a contract; the id makes a second delivery harmless."""
    for row in closed.rows:
        owner = symbol_id(row.symbol)
        yield {
            "id": str(uuid5(UUID(owner), str(closed.end))),
            "symbol_id": owner,
            "score_type": COMPOSITE,
            "score_value": round(row.score, 6),
            "rank": row.rank,
            "confidence_level": round(row.confidence, 6),
            "calculation_timestamp": closed.ts,
            "end_ns": closed.end,
            "supporting_data": _supporting_data(row),
        }


def _supporting_data(row: ScoreRow) -> msgspec.Raw:
    return document({"components": row.components, "parts": row.parts})


def block_row(block: BarBlock) -> Row:
    """A row of `bar_blocks`. Compresses: call it off the loop."""
    return {
        "interval_s": block.interval_s,
        "start_ns": block.start,
        "ts_ns": block.ts,
        "row_count": len(block.symbols),
        "payload": pack_block(block),
    }


def amendment_rows(amended: BarsAmended) -> Iterator[Row]:
    """Rows of `bar_amendments`, one a bar."""
    for start, opened, high, low, close, lots, turnover in amended.rows:
        yield {
            "interval_s": amended.interval_s,
            "start_ns": start,
            "symbol": amended.symbol,
            "ts_ns": amended.ts,
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "lots": lots,
            "turnover": turnover,
        }


def action_row(command: Command, sequence: int) -> Row:
    """A row of `operator_actions` that is not answered yet."""
    return {
        "request_id": plain(command.request_id),
        "sequence": sequence,
        "ts_ns": command.ts,
        "performed_by": plain(command.who),
        "action": type(command).__name__,
        "arguments": document(_arguments(command)),
        "accepted": None,
        "code": None,
        "detail": None,
    }


def _arguments(command: Command) -> dict[str, Any]:
    known = {"ts", "request_id", "who", "settings"}  # settings have a table of their own
    return {name: getattr(command, name) for name in command.__struct_fields__ if name not in known}


def answer_row(done: CommandDone, sequence: int) -> Row:
    """The answer to a row of `operator_actions`, or a row of its own if the command was not handed in."""
    return {
        "request_id": plain(done.request_id),
        "sequence": sequence,
        "ts_ns": done.ts,
        "accepted": done.accepted,
        "code": done.code,
        "detail": plain(done.detail),
    }


def revision_row(command: Reconfigure) -> Row:
    """A row of `config_revisions`."""
    return {
        "revision": command.revision,
        "ts_ns": command.ts,
        "changed_by": plain(command.who),
        "changed": document(command.changed),
        "settings": document(command.settings),
    }


def algorithm_rows(components: Iterable[ScorerSettings], ts: int) -> Iterator[Row]:
    """Rows of `scoring_algorithms`, one a component of the composite."""
    for component in components:
        yield {
            "id": str(uuid5(_ALGORITHMS, component.name)),
            "algorithm_name": component.name,
            "algorithm_type": "custom" if component.path else component.name,
            "version": "1",
            "weight": component.weight,
            "parameters": document({"weights": component.parts, "path": component.path, "options": component.options}),
            "is_active": component.weight > 0,
            "created_at": ts,
            "updated_at": ts,
        }


def override_rows(recorded: OverridesRecorded) -> Iterator[Row]:
    """Rows of `system_configuration`, one a key that has a value."""
    for key, value in recorded.values.items():
        if value is not None:
            yield {
                "id": str(uuid5(_CONFIGURATION, key)),
                "config_key": key,
                "config_value": plain(msgspec.json.encode(value).decode()),
                "updated_by": plain(recorded.who),
                "created_at": recorded.ts,
                "updated_at": recorded.ts,
            }
