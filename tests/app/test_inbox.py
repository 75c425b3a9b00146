"""The inbox: order kept, trades never dropped, superseded quotes dropped when full."""

import asyncio
import random

from zmart_stream.app.inbox import Inbox
from zmart_stream.domain.market import Depth, Tick, Ticker, Trade


def ticker(n: int, symbol: str = "A") -> Ticker:
    return Ticker(ts=n, ts_event=n, symbol=symbol, sequence=n, bid=1.0, bid_lots=1, ask=2.0, ask_lots=1)


def trade(n: int) -> Trade:
    return Trade(ts=n, ts_event=n, symbol="A", sequence=n, price=1.0, lots=1, side="buy")


def depth(n: int, symbol: str) -> Depth:
    return Depth(ts=n, ts_event=n, symbol=symbol, sequence=n, bids=(), asks=(), source="stream")


def test_when_full_only_superseded_quotes_go_and_order_stays(seed):
    chance = random.Random(seed)
    inbox, put = Inbox(100), []
    for n in range(1_000):
        message = trade(n) if chance.random() < 0.2 else chance.choice([ticker, depth])(n, chance.choice("ABC"))
        put.append(message)
        inbox.put(message)
    left = inbox.take(10_000)
    assert [m for m in left if isinstance(m, Trade)] == [m for m in put if isinstance(m, Trade)]
    assert left == [m for m in put if m in left]
    assert inbox.dropped == len(put) - len(left) > 0
    for kind in (Ticker, Depth):
        for symbol in "ABC":
            newest = [m for m in put if isinstance(m, kind) and m.symbol == symbol][-1]
            assert newest in left


def test_crowded_before_full_and_never_for_ever_compacting():
    inbox = Inbox(16)
    for n in range(12):
        assert not inbox.crowded
        inbox.put(trade(n))
    assert inbox.crowded
    for n in range(12, 200):
        inbox.put(trade(n))
    assert len(inbox) == 200
    assert inbox.dropped == 0


def test_waiting_ends_with_a_message_or_the_time():
    async def scenario() -> None:
        inbox = Inbox(16)
        assert not await inbox.wait(0.01)
        asyncio.get_running_loop().call_soon(inbox.put, Tick(ts=1))
        assert await inbox.wait(60.0)
        taken = inbox.take(10)
        inbox.put(Tick(ts=2))
        inbox.put_back(taken)
        assert [m.ts for m in inbox.take(10)] == [1, 2]
        assert not await inbox.wait(0.01)

    asyncio.run(scenario())
