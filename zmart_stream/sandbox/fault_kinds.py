"""The faults a scenario may script, what each does, and how a scenario file is read.

A scenario is a TOML file of tables:

    [[fault]]
    at = 30              # real seconds after the start, or venue_at = "2026-11-21T00:00:00Z" (or ms)
    kind = "silent"
    duration = 20        # real seconds; without it until the venue ends; kinds that happen at once have none
    topics = ["/contractMarket/tickerV2:*"]
    symbols = ["XBTUSDTM"]
    connection = 0       # only this connection, numbered from 0 in order of opening; -1 is the newest

The same table as JSON can be posted to `/_sandbox/fault` while the venue runs; `at` then counts from the request.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from zmart_stream.domain.errors import ConfigError

KINDS: dict[str, str] = {
    "token_expiry": "every token issued so far expires; open connections live on",
    "no_pong": "JSON pings stay unanswered",
    "silent": "connections stay healthy, but `topics` and `symbols` push nothing",
    "half_open": "nothing is sent or answered, TCP stays open",
    "reset": "TCP reset",
    "close": "close frame 1000 `Bye` (or `code`), then the connection ends",
    "drop": "every `every`-th push is lost",
    "duplicate": "every `every`-th push is sent twice",
    "late": "every `every`-th push comes `delay` seconds late, behind later ones",
    "replay_trades": "a subscribe to execution is answered with the last `count` trades again",
    "zero_price": "a level2 change at price 0 for each of `symbols`, which only moves the sequence",
    "storm_429": "every REST call is refused with 429 and gateway headers (`headers = false`: without, as overload)",
    "block_1015": "every REST call and upgrade gets the front's 1015 page",
    "error_body": "REST calls matching `paths` get HTTP 200 with `code` and `message`",
    "slow_rest": "REST calls matching `paths` are answered after `delay` seconds",
    "stale_book": "REST books of `symbols` stay as they are while the stream goes on",
    "null_funding": "the funding fields of `symbols` are null",
    "hostile": "one frame of `form` is sent: see `FORMS` in hostile.py",
    "pause": "`symbols` get status Paused and fall silent",
    "delist": "`symbols` carry an expiry date `delay` seconds ahead and then vanish; back after `duration`",
    "list": "`symbols` are not listed before this fault and appear with it",
    "service_status": "REST status says `status`: close or cancelonly",
    "service_busy": "a new connection gets error 509 `service busy, please retry later` and is closed",
    "outage": "the port refuses connections and every connection is cut",
}
"""Every kind and its effect."""

_NEED_SYMBOLS = ("pause", "delist", "list", "stale_book", "zero_price")


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scripted fault; which fields matter depends on `kind`."""

    kind: str
    at: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    venue_at: int | str | None = None
    duration: Annotated[float, msgspec.Meta(gt=0)] | None = None
    connection: int | None = None
    topics: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("*",)
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    count: Annotated[int, msgspec.Meta(ge=1)] = 20
    delay: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    headers: bool = True
    code: str = "500000"
    message: str = "Internal Server Error"
    status: str = "close"
    form: str = "bad_json"


def read_fault(values: Any) -> Fault:
    """One fault from decoded TOML or JSON; raises `ConfigError`."""
    try:
        fault = msgspec.convert(values, Fault)
    except msgspec.ValidationError as error:
        raise ConfigError(f"fault: {error}") from None
    if fault.kind not in KINDS:
        raise ConfigError(f"fault: kind {fault.kind!r} is none of {', '.join(KINDS)}")
    if fault.kind in _NEED_SYMBOLS and not fault.symbols:
        raise ConfigError(f"fault: {fault.kind} needs symbols")
    return fault


def read_scenario(path: Path) -> list[Fault]:
    """The faults of a scenario file, in the file's order; raises `ConfigError` with every problem."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from None
    faults, problems = [], [f"{path}: unknown key {key!r}" for key in tables if key != "fault"]
    for number, values in enumerate(tables.get("fault", []), 1):
        try:
            faults.append(read_fault(values))
        except ConfigError as error:
            problems.append(f"{path}: fault {number}: {error}")
    if problems:
        raise ConfigError(problems)
    return faults
