"""Every setting of the sandbox venue, with what the published protocol leaves open among them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from zmart_stream.domain.errors import ConfigError

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


def parse_time(value: int | str) -> int:
    """Venue time in ns from ms or ISO 8601 (without a zone: UTC); raises `ConfigError`."""
    if isinstance(value, int) or value.isdecimal():
        return int(value) * 1_000_000
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"time: {value!r} is neither milliseconds nor ISO 8601") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000) * 1_000_000


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the venue allows; `SandboxSettings.quota_factor` multiplies all but the per-frame figures."""

    pool_weight: Count = 2000  # REST weight per client address and window
    pool_window_s: Positive = 30.0  # fixed window, starts at the first request
    dials: Count = 30  # new websocket connections per address and `dials_window_s`
    dials_window_s: Positive = 60.0
    connections: Count = 800  # open connections per address
    messages: Count = 100  # client frames per connection and `messages_window_s`
    messages_window_s: Positive = 10.0
    subscriptions: Count = 0  # topics x symbols per connection; 0 = none; published: 100, 300, 400, none
    topics_per_frame: Count = 100  # symbols in one subscribe, not multiplied
    tunnels: Count = 5  # not multiplied

    def scaled(self, factor: float) -> Limits:
        """The same limits times `factor`."""
        names = ("pool_weight", "dials", "connections", "messages", "subscriptions")
        return msgspec.structs.replace(self, **{name: int(getattr(self, name) * factor) for name in names})


class Transport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Durations of the connection itself: real seconds at any market speed."""

    ping_interval_ms: Count = 18_000  # told to the client
    ping_timeout_ms: Count = 10_000  # told to the client
    idle_cut_s: Positive = 60.0  # since the last client frame
    idle_cut_form: Literal["seeded", "error", "close", "drop"] = "seeded"
    token_life_s: Positive = 86_400.0
    connection_life_s: Positive = 86_400.0  # planned cut
    life_cut_code: Annotated[int, msgspec.Meta(ge=1000, le=4999)] = 1000
    welcome_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    speaks_first: Literal["ignore", "close"] = "ignore"  # a client frame before the welcome
    slow_reader_bytes: Count = 8_388_608  # unsent bytes above which pushes are dropped


class Cadence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often cadenced topics push, in real time at any market speed."""

    tick_ms: Positive = 25.0  # the publisher's step
    ticker_classes: tuple[tuple[int, float], ...] = ((10, 10.0), (110, 2.0), (1_000_000, 0.5))
    """(rank below, pushes a second): liquidity classes of tickerV2."""
    ticker_scale: Positive = 1.0  # multiplies the rates above
    ticker_min_ms: Positive = 100.0  # least distance of two tickers of one contract
    level2_ms: Positive = 100.0  # the most liquid books are looked at this often; each changed level is one frame
    level2_changes: Annotated[int, msgspec.Meta(ge=1)] = 5  # deeper levels a side that may change per look
    depth_ms: Positive = 100.0
    instrument_s: Positive = 1.0
    funding_s: Positive = 60.0
    snapshot_s: Positive = 5.0
    candle_s: Positive = 1.0
    late_candle_s: Annotated[float, msgspec.Meta(ge=0)] = 20.0  # venue s: latest last update of an ended candle
    max_step_s: Positive = 5.0  # venue seconds per step at speed max
    max_spread_s: Positive = 20.0  # venue seconds between the slowest and the fastest reader at speed max


class Unknowns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Behaviour that no source establishes (protocol, appendix B), each a choice."""

    kline_cap: Annotated[int, msgspec.Meta(ge=1)] = 500  # rows per reply: 200 or 500
    kline_columns: Literal[6, 7] = 7  # 6 leaves turnover out
    kline_end: Literal["inclusive", "exclusive"] = "inclusive"  # is a bar that starts at `to` returned
    kline_keeps: Literal["oldest", "newest"] = "oldest"  # which rows survive the cap when `from` is given
    kline_retention: bool = False  # apply the reported retention per granularity
    depth100_weight: Literal[5, 10] = 5
    snapshot_levels: Annotated[int, msgspec.Meta(ge=1)] = 1000  # rows a side of level2/snapshot
    errors_need_response: bool = False  # does response:false also suppress error frames
    malformed_token: Literal["frame", "http"] = "frame"  # error 401 after the upgrade, or HTTP 401
    settled_granularity: Literal["interval", "8h"] = "interval"  # of the settlement frame on 4 h and 1 h contracts
    announcements: bool = True
    empty_side: Literal["array", "null"] = "array"  # a book side without rows
    sequence_restart: bool = False  # do book sequences restart after an outage or a relisting
    excess_connection: Literal["frame", "http"] = "frame"  # above the connection or dial limit
    block_body: Literal["html", "text", "json"] = "html"  # of the 1015 block
    predicted_funding: bool = False  # predictedValue in funding-rate/current, as to mid-2025
    pong_timestamp: bool = True
    answers_protocol_pings: bool = True
    bad_json_closes: bool = False  # is a connection closed after a frame that is not JSON
    number_style: Literal["java", "plain"] = "java"  # exponent forms and stray `.0` in REST
    candle_column_5: Literal["turnover", "lots"] = "turnover"  # lots as a float in 2024 records
    replayed_trades: Count = 0  # trades sent again after a resubscribe of execution


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All options of one sandbox venue."""

    host: str = "127.0.0.1"
    port: Port = 0  # 0 takes a free one
    tls: bool = False
    cert: str | None = None  # PEM file; without it `tls` makes a throw-away authority
    key: str | None = None
    ca_dir: str | None = None  # where the throw-away authority is written; a new temporary directory without it
    seed: int = 7
    contracts: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 700
    market: str = "synthetic"  # or the path of a record
    history: Annotated[float, msgspec.Meta(ge=0)] = 15.0  # days of a record that lie before the start
    start: int | str | None = None  # venue time: ms, or ISO 8601 with zone
    speed: Annotated[float, msgspec.Meta(gt=0)] | Literal["max"] = 1.0
    quota_factor: Positive = 1.0
    scenario: str | None = None  # TOML file of faults
    book_levels: Annotated[int, msgspec.Meta(ge=5, le=2000)] = 200  # rows a side of the full book
    end_with_parent: bool = False  # end when standard input closes
    limits: Limits = msgspec.field(default_factory=Limits)
    transport: Transport = msgspec.field(default_factory=Transport)
    cadence: Cadence = msgspec.field(default_factory=Cadence)
    unknowns: Unknowns = msgspec.field(default_factory=Unknowns)

    def start_ns(self) -> int | None:
        """The asked-for start in ns of venue time; raises `ConfigError` for a text that is no time."""
        return None if self.start is None else parse_time(self.start)

    def checked(self) -> SandboxSettings:
        """Self, once what types alone cannot tell is right; raises `ConfigError` with every problem."""
        problems = []
        if (self.cert is None) != (self.key is None):
            problems.append("cert and key belong together")
        for name in ("cert", "key", "scenario"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                problems.append(f"{name}: no file {path}")
        if self.market != "synthetic" and not Path(self.market).exists():
            problems.append(f"market: {self.market!r} is neither synthetic nor an existing path")
        try:
            self.start_ns()
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError([f"sandbox: {problem}" for problem in problems])
        return self


def settings_from(values: dict[str, Any]) -> SandboxSettings:
    """Settings from plain values (decoded JSON or TOML); raises `ConfigError`."""
    try:
        return msgspec.convert(values, SandboxSettings).checked()
    except msgspec.ValidationError as error:
        raise ConfigError(f"sandbox: {error}") from None
