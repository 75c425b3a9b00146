"""A database of the first release is brought to this one's schema with everything that is in it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from sqlalchemy import Connection, MetaData, Table, func, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from tests.storage.samples import HOUR, START, Books, block, closed, contract, listing, opened, writing
from tests.storage.test_pages import chain, swapped
from tests.storage.test_signals import life, signal, uuid
from zmart_stream.domain.commands import Pause
from zmart_stream.domain.settings import ScorerSettings
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage import rows, schema
from zmart_stream.storage.columns import UtcTime
from zmart_stream.storage.database import Database, _to_json
from zmart_stream.storage.integrity import check_book, findings
from zmart_stream.storage.items import OverridesRecorded
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.snapshots import pack

NAMES = [f"A{index}USDTM" for index in range(5)]
MOMENT = UtcTime().process_bind_param


class FirstRelease:
    """The tables as revision 0001 made them, and rows in them as the first release wrote them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tables = MetaData()
        schema.migrate(connection, "0001")
        self.tables.reflect(connection)
        self.counts: dict[str, int] = {}

    def put(self, name: str, *values: dict[str, Any]) -> None:
        table = self.tables.tables[name]
        for value in values:
            self.connection.execute(insert(table), self._fitted(table, value))
        self.counts[name] = self.counts.get(name, 0) + len(values)

    @staticmethod
    def _fitted(table: Table, value: dict[str, Any]) -> dict[str, Any]:
        """The columns that there were then, in types that a reflected table takes."""
        known = {column.name: column for column in table.c}
        fitted = {name: found for name, found in value.items() if name in known}
        for name, found in fitted.items():
            kind = type(known[name].type).__name__
            if kind in {"DATETIME", "TIMESTAMP"} and isinstance(found, int):
                fitted[name] = MOMENT(found, None)  # type: ignore[arg-type]  # the dialect is not looked at
            elif kind == "CHAR" and isinstance(found, str):
                fitted[name] = found.replace("-", "")  # as SQLite keeps ids
            elif isinstance(found, msgspec.Raw):
                fitted[name] = msgspec.json.decode(found)
        return fitted


def a_past(connection: Connection, books: Books) -> dict[str, int]:
    then = FirstRelease(connection)
    first = books.change("fill", NAMES[:3], symbol_in=NAMES[0], reason="first_fill")
    second = books.change("replace", [NAMES[3], *NAMES[:2]], symbol_in=NAMES[3], symbol_out=NAMES[2])
    then.put("symbols", *(rows.contract_row(listing(name)) for name in NAMES))
    then.put("portfolio_history", rows.history_row(first, 1), rows.history_row(second, 2))
    then.put("portfolio_composition", *(rows.holding_row(holding) for holding in second.after.holdings))
    left = {**rows.holding_row(first.after.holdings[2]), "status": "Removed", "position_rank": None}
    then.put("portfolio_composition", {**left, "weight_percentage": 0, "removal_date": second.ts})
    then.put("scoring_algorithms", *rows.algorithm_rows([ScorerSettings(name="risk", weight=0.4)], START))
    then.put("symbol_scores", *rows.score_rows(closed(START + HOUR, NAMES)))
    then.put("bar_blocks", rows.block_row(block(START, NAMES)))
    bar = dict(zip(("open", "high", "low", "close", "lots", "turnover"), (1.0, 2.0, 0.5, 1.5, 9.0, 9.5), strict=True))
    then.put("bar_amendments", {"interval_s": 3600, "start_ns": START, "symbol": NAMES[1], "ts_ns": START + 1, **bar})
    paused = rows.action_row(Pause(ts=START, request_id="p", who="ann"), 3)
    then.put("operator_actions", {**paused, "accepted": True, "code": "ok", "detail": ""})
    then.put("holds", {"sequence": 4, "ts_ns": START, "is_on": True, "reason": "paused"})
    then.put("config_revisions", {"revision": 7, "ts_ns": START, "changed_by": "ann", "changed": [], "settings": {}})
    recorded = OverridesRecorded(ts=START, who="ann", values={"portfolio.max_symbols": 4})
    then.put("system_configuration", *rows.override_rows(recorded))
    then.put("snapshots", {"sequence": 5, "ts_ns": second.ts, "payload": pack({"old": 1})})
    then.put("sessions", {"number": 6, "release": "0.1", "ended_ts_ns": START + 2 * HOUR})
    then.put("venue", {"id": 1, "identity": "api-futures.kucoin.com"})
    shares = {"signal_strength": 0.75, "confidence_level": 0.5, "signal_direction": "BUY", "signal_data": {"a": [1]}}
    about = {"symbol_id": symbol_id(NAMES[0]), "source_name": "s", "signal_type": "X"}
    waits = {**about, **shares, "status": "received"}
    then.put("signals", *({**waits, "id": uuid(9 - n), "created_at": START + n * HOUR} for n in range(3)))
    return then.counts


def test_the_first_releases_database_loses_nothing(url: str) -> None:
    books = Books()

    async def scenario() -> None:
        engine = create_async_engine(Database(url).url, json_serializer=_to_json)
        async with engine.begin() as connection:
            counts = await connection.run_sync(a_past, books)
        await engine.dispose()
        async with opened(url) as database:
            reader = StorageReader(database)
            now = (await reader.statistics())["rows"]
            assert {name: now[name] for name in counts} == counts
            assert set(counts) == {name for name in counts if counts[name]}
            assert await check_book(database) == books.book
            state = await reader.load_state("1.0")
            assert (state.session, state.paused, state.revision) == (7, True, 7)
            assert state.overrides == {"portfolio.max_symbols": 4}
            assert state.snapshot == {"old": 1}
            assert state.blocks == (block(START, NAMES),)
            assert [amended.symbol for amended in state.amendments] == [NAMES[1]]
            assert {found.symbol: found for found in state.contracts}[NAMES[2]] == contract(NAMES[2])
            assert [change.kind for change in state.changes] == ["fill", "replace"]
            assert (state.ledger, state.equity, state.signals) == ((), None, ())
            old = await reader.signals()
            assert [found["created_at"] for found in old] == [START + 2 * HOUR, START + HOUR, START]
            assert (old[0]["signal_strength"], old[0]["signal_data"], old[0]["id"]) == (0.75, {"a": [1]}, uuid(7))
            await goes_on(database, books)

    async def goes_on(database: Database, books: Books) -> None:
        """What this release writes fits beside it."""
        third = books.change("replace", [NAMES[4], *NAMES[:2]], symbol_in=NAMES[4], symbol_out=NAMES[3])
        async with writing(database) as writer:
            writer.put([third, swapped(third, final=False), *chain(3, seed=2), *life(signal(1, symbol=NAMES[0]))])
        assert await check_book(database) == third.after
        async with database.reading() as connection:
            assert await findings(connection, whole=True) == []
            history = MetaData()
            await connection.run_sync(history.reflect, only=["portfolio_history"])
            counted = select(func.count()).select_from(history.tables["portfolio_history"])
            assert (await connection.execute(counted)).scalar() == 3

    asyncio.run(scenario())
