"""Each fault of a scenario has an effect that a client can see."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tests.sandbox.venue_client import HOUR_S, WAIT_S, Bench, Socket, eventually, venue
from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.fault_kinds import KINDS, read_scenario
from zmart_stream.sandbox.hostile import BREAKING, FORMS

SYMBOL, OTHER = "XBTUSDTM", "ETHUSDTM"
TICKER, TICKERS = f"/contractMarket/tickerV2:{SYMBOL}", f"/contractMarket/tickerV2:{SYMBOL},{OTHER}"
LEVEL2 = f"/contractMarket/level2:{SYMBOL}"
EXECUTION = f"/contractMarket/execution:{SYMBOL}"
FAST = 240


def _code(reply: tuple[int, dict[str, str], str]) -> tuple[int, bool, str]:
    status, headers, text = reply
    return status, "gw-ratelimit-reset" in headers, text


async def _dies(socket: Socket) -> int | None:
    """Read to the end; the close code."""
    await socket.drained()
    return socket.ws.close_code


def test_a_scenario_file_is_read_whole_and_its_problems_are_told_together(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text('[[fault]]\nat = 3\nkind = "silent"\nsymbols = ["XBTUSDTM"]\n[[fault]]\nkind = "no_pong"\n')
    assert [fault.kind for fault in read_scenario(good)] == ["silent", "no_pong"]
    bad = tmp_path / "bad.toml"
    bad.write_text(
        'speed = 3\n[[fault]]\nkind = "flood"\n[[fault]]\nkind = "pause"\n[[fault]]\nkind = "late"\ndelay = -1\n'
    )
    with pytest.raises(ConfigError) as caught:
        read_scenario(bad)
    assert len(caught.value.problems) == 4


def test_a_scenario_runs_by_real_and_by_venue_time(tmp_path: Path) -> None:
    async def run() -> None:
        scenario = tmp_path / "s.toml"
        scenario.write_text(
            '[[fault]]\nat = 0.05\nkind = "service_status"\nduration = 3600\n'
            '[[fault]]\nvenue_at = "2026-11-20T10:09:30Z"\nkind = "pause"\nsymbols = ["ETHUSDTM"]\n'
            '[[fault]]\nat = 10000\nkind = "list"\nsymbols = ["SOLUSDTM"]\n'
        )
        async with venue(scenario=str(scenario), speed=FAST, quota_factor=100) as bench:
            assert "SOLUSDTM" not in [row["symbol"] for row in await bench.get("contracts/active")]
            await eventually(lambda: _says(bench, "close"))
            bench.later(HOUR_S)
            await eventually(lambda: _says(bench, "open"))
            assert await _holds(bench, "SOLUSDTM", listed=False)
            bench.later(10_000)
            await eventually(lambda: _holds(bench, "SOLUSDTM", listed=True))
            row = await bench.get("contracts/SOLUSDTM")
            assert row["firstOpenDate"] > bench.server.clock.start // 10**6

            async def paused() -> bool:
                return bool((await bench.get(f"contracts/{OTHER}"))["status"] == "Paused")

            await eventually(paused)
            assert bench.server.clock.now() // 10**6 >= 1795169370000

    asyncio.run(run())


def test_expired_tokens_no_pong_and_a_half_open_connection() -> None:
    async def run() -> None:
        async with venue() as bench:
            token = (await bench.token())["token"]
            socket = await bench.connect(TICKER)
            await bench.fault(kind="token_expiry")
            (error,) = await (await bench.dial(token)).drained()
            assert (error["code"], error["data"]) == (401, "token is expired")
            await socket.push(TICKER)

            await bench.fault(kind="no_pong", duration=HOUR_S)
            await socket.send(id="p", type="ping")
            assert "p" not in [(await socket.push(TICKER)).get("id") for _ in range(2)]
            await bench.calm()
            assert (await socket.ask(id="q", type="ping"))["type"] == "pong"

            other = await bench.connect(TICKER)
            await bench.fault(kind="half_open", connection=0, duration=HOUR_S)
            sent = await _sent(bench)
            await socket.send(id="r", type="ping")
            for _ in range(3):
                await other.push(TICKER)
            now = await _sent(bench)
            assert now[0] == sent[0]
            assert now[-1] > sent[-1]
            await bench.calm()
            assert not socket.ws.closed
            await socket.send(id="s", type="ping")
            assert (await socket.until(lambda f: f["type"] == "pong"))["id"] == "s"

    asyncio.run(run())


async def _sent(bench: Bench) -> list[int]:
    return [row["frames_sent"] for row in (await bench.state())["connections"]]


def test_resets_and_closes() -> None:
    async def run() -> None:
        async with venue() as bench:
            sockets = [await bench.connect(TICKER) for _ in range(4)]
            await bench.fault(kind="reset", connection=0)
            assert await _dies(sockets[0]) == 1006
            await bench.fault(kind="close", connection=1)
            assert (await _dies(sockets[1]), sockets[1].close_reason) == (1000, "Bye")
            await bench.fault(kind="close", code="1012", connection=-1)
            assert await _dies(sockets[3]) == 1012
            await sockets[2].push(TICKER)

    asyncio.run(run())


def test_a_silent_topic_leaves_the_connection_healthy() -> None:
    async def run() -> None:
        async with venue() as bench:
            socket = await bench.connect(TICKERS)
            await bench.fault(kind="silent", topics=["*tickerV2*"], symbols=[SYMBOL], duration=HOUR_S)
            other = f"/contractMarket/tickerV2:{OTHER}"
            await socket.ask(id="mark", type="ping")
            seen = [(await socket.frame()).get("topic") for _ in range(4)]
            assert seen == [other] * 4
            await bench.calm()
            await socket.push(TICKER)

    asyncio.run(run())


@pytest.mark.parametrize(("kind", "steps"), [("drop", {1, 2}), ("duplicate", {0, 1}), ("late", None)])
def test_lost_doubled_and_late_frames_break_the_sequence(kind: str, steps: set[int] | None) -> None:
    async def run() -> None:
        async with venue(speed=FAST) as bench:
            await bench.fault(kind=kind, topics=["*level2:*"], every=5, delay=0.05)
            socket = await bench.connect(LEVEL2)
            numbers = [(await socket.push(LEVEL2))["sn"] for _ in range(300)]
            seen = {b - a for a, b in pairwise(numbers)}
            if steps is None:
                assert any(step < 0 for step in seen)
            else:
                assert seen == steps

    asyncio.run(run())


def test_trades_are_repeated_after_a_resubscribe_if_asked_for() -> None:
    async def run() -> None:
        async with venue(speed=FAST) as bench:
            socket = await bench.connect(EXECUTION)
            told = [(await socket.push(EXECUTION))["sn"] for _ in range(6)]
            await bench.fault(kind="replay_trades", count=5)
            await socket.ask(id="u", type="unsubscribe", topic=EXECUTION, response=True)
            await socket.subscribe(EXECUTION)
            again = [(await socket.push(EXECUTION))["sn"] for _ in range(5)]
            assert again == sorted(again)
            assert set(again) & set(told)
            plain = await bench.connect()
        async with venue(speed=FAST, unknowns={"replayed_trades": 3}) as bench:
            socket = await bench.connect(EXECUTION)
            told = [(await socket.push(EXECUTION))["sn"] for _ in range(4)]
            plain = await bench.connect(EXECUTION)
            assert (await plain.push(EXECUTION))["sn"] in told

    asyncio.run(run())


def test_a_change_at_price_zero_moves_only_the_sequence() -> None:
    async def run() -> None:
        async with venue() as bench:
            socket = await bench.connect(LEVEL2)
            before = (await socket.push(LEVEL2))["sn"]
            await bench.fault(kind="zero_price", symbols=[SYMBOL])
            seen = []
            while "0,buy,0" not in [frame["data"]["change"] for frame in seen]:
                seen.append(await socket.push(LEVEL2))
            assert [frame["sn"] for frame in seen] == list(range(before + 1, before + 1 + len(seen)))

    asyncio.run(run())


def test_rest_storms_blocks_wrong_bodies_and_delays() -> None:
    async def run() -> None:
        async with venue() as bench:
            await bench.fault(kind="storm_429", duration=HOUR_S)
            assert _code(await bench.reply("status"))[:2] == (429, True)
            await bench.calm()
            await bench.fault(kind="storm_429", headers=False, duration=HOUR_S)
            status, gateway, text = _code(await bench.reply("status"))
            assert (status, gateway) == (429, False)
            assert "System-level rate limit exceeded" in text
            await bench.calm()
            await bench.fault(kind="block_1015", duration=HOUR_S)
            status, headers, text = await bench.reply("status")
            assert (status, headers["Content-Type"].startswith("text/html")) == (429, True)
            assert "1015" in text
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await bench.dial("any")
            await bench.calm()
            await bench.fault(kind="error_body", paths=["kline/*"], code="500000", message="boom", duration=HOUR_S)
            assert _code(await bench.reply("kline/query"))[::2] == (200, '{"code":"500000","msg":"boom"}')
            assert (await bench.get("status"))["status"] == "open"
            await bench.calm()
            await bench.fault(kind="slow_rest", paths=["timestamp"], delay=0.2, duration=HOUR_S)
            before = time.monotonic()
            await bench.get("timestamp")
            assert time.monotonic() - before >= 0.2

    asyncio.run(run())


def test_a_stale_book_lags_the_stream() -> None:
    async def run() -> None:
        async with venue(speed=FAST) as bench:
            socket = await bench.connect(LEVEL2)
            await bench.fault(kind="stale_book", symbols=[SYMBOL], duration=HOUR_S)
            first = await bench.get("level2/snapshot", symbol=SYMBOL)
            while (await socket.push(LEVEL2))["sn"] < first["sequence"] + 20:
                pass
            assert await bench.get("level2/snapshot", symbol=SYMBOL) == first
            await bench.calm()
            assert (await bench.get("level2/snapshot", symbol=SYMBOL))["sequence"] > first["sequence"] + 10

    asyncio.run(run())


def test_null_funding_a_pause_and_a_delisting() -> None:
    async def run() -> None:
        async with venue() as bench:
            await bench.fault(kind="null_funding", symbols=[SYMBOL], duration=HOUR_S)
            row = await bench.get(f"contracts/{SYMBOL}")
            assert row["fundingFeeRate"] is row["nextFundingRateDateTime"] is None
            assert (await bench.reply(f"funding-rate/{SYMBOL}/current"))[2].find("415000") > 0

            socket = await bench.connect(TICKERS)
            await bench.fault(kind="pause", symbols=[OTHER], duration=HOUR_S)
            assert {row["symbol"]: row["status"] for row in await bench.get("contracts/active")}[OTHER] == "Paused"
            await socket.ask(id="mark", type="ping")
            assert [(await socket.frame())["topic"] for _ in range(3)] == [TICKER] * 3
            await bench.calm()
            await socket.push(f"/contractMarket/tickerV2:{OTHER}")

            await bench.fault(kind="delist", symbols=["SOLUSDTM"], delay=HOUR_S, duration=HOUR_S)
            assert (await bench.get("contracts/SOLUSDTM"))["expireDate"] > bench.server.clock.now() // 10**6
            bench.later(HOUR_S)
            await eventually(lambda: _holds(bench, "SOLUSDTM", listed=False))
            assert (await bench.reply("ticker?symbol=SOLUSDTM"))[2].find("200003") > 0
            bench.later(HOUR_S)
            await eventually(lambda: _holds(bench, "SOLUSDTM", listed=True))
            assert (await bench.get("contracts/SOLUSDTM"))["expireDate"] is None

    asyncio.run(run())


async def _says(bench: Bench, status: str) -> bool:
    return bool((await bench.get("status"))["status"] == status)


async def _holds(bench: Bench, symbol: str, *, listed: bool) -> bool:
    return (symbol in await bench.listed()) is listed


def test_a_busy_service_and_an_outage() -> None:
    async def run() -> None:
        async with venue(unknowns={"sequence_restart": True}) as bench:
            await bench.fault(kind="service_busy", duration=HOUR_S)
            (error,) = await (await bench.dial()).drained()
            assert (error["code"], error["data"]) == (509, "service busy, please retry later")
            await bench.calm()
            socket = await bench.connect(TICKER)
            high = (await socket.push(TICKER))["sn"]
            port = bench.server.port
            await bench.fault(kind="outage", duration=HOUR_S)
            assert await _dies(socket) == 1006
            with pytest.raises(aiohttp.ClientError):
                await bench.get("status")
            bench.later()
            back = None
            while back is None:
                try:
                    back = await bench.connect(TICKER)
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
            assert bench.server.port == port
            assert (await back.push(TICKER))["sn"] < high

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS)
def test_every_hostile_form_reaches_the_client(form: str) -> None:
    async def run() -> None:
        async with venue() as bench:
            socket = await bench.connect(max_msg_size=4 << 20)
            await bench.fault(kind="hostile", form=form, symbols=[SYMBOL], duration=0.2)
            if form in BREAKING:
                await bench.connect(TICKER)  # the venue itself goes on
                if form in ("reserved_bits", "close_stall"):
                    message = await asyncio.wait_for(socket.ws.receive(), WAIT_S)
                    assert message.type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
                return
            message = await asyncio.wait_for(socket.ws.receive(), WAIT_S)
            if form == "bad_utf8":
                assert message.type is aiohttp.WSMsgType.ERROR
                return
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
            if form == "big":
                assert len(message.data) > 2_000_000
            if "unknown" in form or form == "deep":
                return
            assert (await socket.ask(id="1", type="ping"))["type"] == "pong"

    asyncio.run(run())


def test_every_kind_is_documented_and_tried_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f'"{kind}"' not in text and f'kind = "{kind}"' not in text] == []
