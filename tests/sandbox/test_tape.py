"""The merged tape hands out every trade of a followed symbol once, in order, however time is cut."""

import random

from zmart_stream.sandbox.clock import MINUTE
from zmart_stream.sandbox.market import Print
from zmart_stream.sandbox.synthetic import synthetic_market
from zmart_stream.sandbox.tape import Tape

START = 1_795_169_250_000_000_000
MARKET = synthetic_market(seed=7, contracts=6, start=START)
SYMBOLS = MARKET.symbols(START)


def _expected(symbol: str, after: int, until: int) -> list[Print]:
    minutes = range(after // MINUTE, until // MINUTE + 1)
    trades = [trade for minute in minutes for trade in MARKET.prints(symbol, minute)]
    return [trade for trade in trades if after < trade.ts <= until]


def test_every_trade_once_and_in_order_for_any_steps(seed: int) -> None:
    choice = random.Random(seed)
    tape: Tape[str] = Tape(MARKET, START)
    since: dict[str, int] = {}
    told: dict[str, list[Print]] = {symbol: [] for symbol in SYMBOLS}
    now, last_ts = START, 0
    for _ in range(200):
        symbol = choice.choice(SYMBOLS)
        if symbol not in since:
            since[symbol] = now
            tape.follow(SYMBOLS.index(symbol), symbol, symbol)
        tape.prefetch(choice.randrange(MINUTE))
        now += choice.randrange(3 * MINUTE // 2)
        for name, trade in tape.due(now):
            assert last_ts <= trade.ts <= now
            last_ts = trade.ts
            told[name].append(trade)
    assert told == {symbol: _expected(symbol, since[symbol], now) for symbol in SYMBOLS}


def test_one_symbol_in_place_of_another_loses_no_minute() -> None:
    tape: Tape[str] = Tape(MARKET, START)
    for rank in (0, 1):
        tape.follow(rank, SYMBOLS[rank], SYMBOLS[rank])
    for _ in range(10):
        tape.prefetch(MINUTE)  # the coming minute is ready before the change
    tape.unfollow(0)
    tape.follow(2, SYMBOLS[2], SYMBOLS[2])
    until = START + 4 * MINUTE
    told = [trade for name, trade in tape.due(until) if name == SYMBOLS[2]]
    assert told == _expected(SYMBOLS[2], START, until)
    assert all(name != SYMBOLS[0] for name, _ in tape.due(until + 5 * MINUTE))
