"""The settings models: one class per table of `zmart.toml`, each field with meaning, unit and range.

`zmart.toml` repeats every field with its default; a test holds the two equal.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from math import inf
from typing import Literal

from pydantic import Field, model_validator

from zmart_stream.app.settings_notify import NotifyTable
from zmart_stream.app.settings_scoring import ScoringTable
from zmart_stream.app.settings_sectors import Coin
from zmart_stream.app.settings_signals import SignalsTable
from zmart_stream.app.settings_table import Duration, Table


class VenueSettings(Table):
    """Which venue to listen to, and how far to go with it."""

    rest_url: str = Field(
        "https://api-futures.kucoin.com",
        pattern=r"^https?://[^\s/]+$",
        description="Base URL of the venue's REST; the websocket address comes from its token reply.",
    )
    allowed_hosts: list[str] = Field(
        ["kucoin.com"],
        description="Host suffixes that a websocket endpoint may have; wss only, but for loopback addresses.",
    )
    ca_file: str = Field(
        "", description="PEM file of a certificate authority to trust besides the system's; empty: none."
    )
    speed: float | Literal["max"] = Field(
        1.0, description="Market seconds per real second: 1 for the real venue; a sandbox may run faster, or at `max`."
    )
    quota_factor: float = Field(
        1.0, gt=0, le=1000, description="Multiplies the client's REST and dial budgets; 1 for the real venue."
    )

    @model_validator(mode="after")
    def _speed_is_positive(self) -> VenueSettings:
        _check_speed(self.speed)
        return self


def _check_speed(speed: float | Literal["max"]) -> None:
    if speed != "max" and not 0 < speed < inf:
        raise ValueError("speed must be above 0 and finite, or max")


class SandboxTable(Table):
    """The venue that `run --sandbox` starts on loopback."""

    seed: int = Field(7, ge=0, description="Seed of the synthetic market; the same seed serves the same history.")
    contracts: int = Field(700, ge=1, le=2000, description="Number of synthetic contracts.")
    market: str = Field(
        "synthetic", description="`synthetic`, or the path of an OHLCV record (Parquet or CSV, file or folder)."
    )
    history: Duration = Field(15 * 86400.0, ge=0, description="How far into a record the market starts.")
    speed: float | Literal["max"] = Field(
        60.0, description="Market seconds per real second; `max`: as fast as the client reads."
    )
    quota_factor: float = Field(
        10.0, gt=0, le=1000, description="Multiplies the venue's published limits and the client's budgets."
    )
    scenario: str = Field("", description="TOML file of scripted faults; empty: none.")
    tls: bool = Field(
        False, description="Serve https and wss with a throw-away certificate authority that the daemon then trusts."
    )

    @model_validator(mode="after")
    def _speed_is_positive(self) -> SandboxTable:
        _check_speed(self.speed)
        return self


class FeedTable(Table):
    """Sockets, subscriptions and REST budgets."""

    subscriptions_per_connection: int = Field(100, ge=1, le=400, description="Topics × symbols on one connection.")
    dials_per_minute: int = Field(
        24, ge=1, le=30, description="New connections a minute, over all (published limit 30)."
    )
    client_messages_per_10s: int = Field(
        50, ge=5, le=100, description="Frames we send per connection and 10 s (published limit 100)."
    )
    receive_deadline: Duration = Field(
        30.0, gt=0, le=60, description="A connection that brings nothing for so long is cut and redialled."
    )
    connection_life: Duration = Field(
        23 * 3600.0,
        ge=60,
        le=24 * 3600,
        description="Age at which a connection is replaced, overlapping, before the venue's 24 h cut.",
    )
    backoff_max: Duration = Field(
        60.0, ge=1, le=600, description="Longest wait between two dials; full jitter, doubling from 0.5 s."
    )
    contracts_poll: Duration = Field(
        10.0, ge=2, le=300, description="Period of the contracts/active poll (mark, index, open interest, 24 h)."
    )
    status_poll: Duration = Field(30.0, ge=5, le=300, description="Period of the service status poll.")
    rest_share_warm_up: float = Field(
        0.8, gt=0, le=0.95, description="Share of the REST weight pool used while history loads."
    )
    rest_share: float = Field(0.5, gt=0, le=0.95, description="Share of the REST weight pool used afterwards.")
    rest_timeout: Duration = Field(10.0, gt=0, le=60, description="Deadline of one REST request.")
    inbox_size: int = Field(
        65536,
        ge=1024,
        le=1048576,
        description="Messages waiting for the core; beyond it superseded tickers and depths are dropped.",
    )


class MarketTable(Table):
    """Bars, windows and the universe."""

    bar: Literal["15m", "1h", "4h"] = Field(
        "1h", description="Decision interval: cross-sections freeze and the book's rules act at its end."
    )
    window_hours: int = Field(240, ge=180, le=2000, description="Closed hour bars kept per contract.")
    window_days: int = Field(60, ge=40, le=400, description="Closed UTC day bars kept per contract.")
    close_grace: Duration = Field(
        1.5, ge=0, le=60, description="Real time after a bar's end in which its last trades may still arrive."
    )
    min_turnover_usdt: float = Field(
        2e6, ge=0, description="24 h turnover in USDT from which a contract is in the universe."
    )
    min_listed: Duration = Field(
        7 * 86400.0, ge=0, description="Age of a listing from which a contract is in the universe."
    )


class FreshnessTable(Table):
    """Expected gaps between messages (real time): an input is stale after three of them."""

    ticker: Duration = Field(10.0, gt=0, description="Least expected gap of tickers.")
    execution: Duration = Field(60.0, gt=0, description="Least expected gap of trades.")
    instrument: Duration = Field(5.0, gt=0, description="Least expected gap of mark and index prices.")
    depth: Duration = Field(240.0, gt=0, description="Least expected gap of depth: twice the REST rotation's period.")


class PortfolioTable(Table):
    """The rules of the book."""

    automatic: bool = Field(True, description="false: only operators and approved signals change the book.")
    max_symbols: int = Field(10, ge=1, le=50, description="Places in the book.")
    max_spread_bps: float = Field(
        15.0, gt=0, le=1000, description="Widest spread of an eligible contract, in basis points."
    )
    held_turnover_factor: float = Field(
        0.7, gt=0, le=1, description="Holdings are judged at this share of min_turnover_usdt."
    )
    held_spread_factor: float = Field(
        1.5, ge=1, le=10, description="Holdings are judged at this multiple of max_spread_bps."
    )
    first_fill_after: Duration = Field(
        90.0, ge=0, le=3600, description="Longest real time the first fill waits for the universe."
    )
    entry_score: float = Field(50.0, ge=0, le=100, description="Least composite to enter the book.")
    exit_score: float = Field(
        35.0, ge=0, le=100, description="Below it at exit_confirm closes in a row a holding leaves."
    )
    exit_confirm: int = Field(3, ge=1, le=100, description="Closes in a row below exit_score.")
    fill_confirm: int = Field(2, ge=1, le=100, description="Closes in a row a candidate must fit a free place.")
    replace_margin: float = Field(
        12.0, ge=0, le=100, description="Points a candidate must lead the weakest replaceable holding by."
    )
    confirm: int = Field(3, ge=1, le=100, description="Closes in a row the same pair must keep that lead.")
    min_hold: Duration = Field(
        86400.0, ge=0, description="Least time in the book before the machine replaces a holding."
    )
    max_swaps_per_day: int = Field(
        4, ge=0, le=1000, description="Replacements and fills after removals in rolling 24 h."
    )
    max_per_sector: int = Field(
        4, ge=1, le=50, description="Holdings of one sector; contracts without a sector are exempt."
    )
    max_correlation: float = Field(
        0.9, gt=0, le=1, description="Highest pairwise correlation of hour returns in the book."
    )
    optimiser: Literal[
        "equal", "score", "inverse_volatility", "min_variance", "risk_parity", "hrp", "max_diversification"
    ] = Field("risk_parity", description="How the weights are found.")
    cash: float = Field(0.0, ge=0, le=90, description="Percent of the equity that is never invested.")
    max_weight: float = Field(
        25.0, gt=0, le=100, description="Largest weight of one holding in percent; the rest is cash."
    )
    min_weight: float = Field(
        2.0, ge=0, le=50, description="Smallest weight in percent; at most half an even share of what is invested."
    )
    max_sector_weight: float = Field(
        60.0, gt=0, le=100, description="Largest weight of a sector in percent; contracts without a sector are exempt."
    )
    max_turnover: float = Field(
        100.0, gt=0, le=100, description="Percent of the equity that one re-weighting may move."
    )
    bps_per_point: float = Field(
        2.0, ge=0, le=1000, description="Basis points that a point of score is taken to earn in a swap: a brake."
    )
    cost_safety: float = Field(1.25, ge=0, le=100, description="Times its cost that a swap has to earn.")
    signal_points: float = Field(
        5.0, ge=0, le=100, description="Points added to the gap of a swap that an approved signal asks for."
    )
    start_usdt: float = Field(
        100_000.0, gt=0, le=1e9, description="Paper equity in USDT that a new ledger begins with."
    )
    swap_horizon: Duration = Field(
        7 * 86400.0, ge=3600, le=90 * 86400.0, description="Time after which a swap's result is final."
    )
    grace: int = Field(2, ge=1, le=100, description="Bars a holding may be ineligible before it leaves.")
    reentry: Duration = Field(86400.0, ge=0, description="Time before a contract that left may enter again.")
    depth_candidates: int = Field(
        40, ge=0, le=200, description="Best-ranked contracts that get streamed depth and mark prices besides the book."
    )

    @model_validator(mode="after")
    def _exit_below_entry(self) -> PortfolioTable:
        if self.exit_score > self.entry_score:
            raise ValueError(
                f"exit_score {self.exit_score:g} is above entry_score {self.entry_score:g}: no holding would stay"
            )
        return self


class StorageTable(Table):
    """The database."""

    url: str = Field(
        "", description="SQLAlchemy URL; empty: sqlite in the state directory. PostgreSQL: postgresql+asyncpg://…"
    )
    queue_size: int = Field(
        20_000, ge=100, le=1_000_000, description="Items waiting for the writer; at 80 % the book holds."
    )
    batch_rows: int = Field(200, ge=1, le=10_000, description="Rows that end a batch before its time.")
    batch_time: Duration = Field(0.1, gt=0, le=5, description="Longest real time a batch collects.")
    ballast_mb: int = Field(
        32, ge=0, le=1024, description="Size of the file that is freed when the disk is full; 0: none."
    )
    pool_size: int = Field(5, ge=1, le=100, description="Reading connections (PostgreSQL).")
    pool_recycle: Duration = Field(
        3600.0, ge=60, description="Age at which a pooled connection is replaced (PostgreSQL)."
    )
    snapshots_kept: int = Field(3, ge=1, le=100, description="Engine snapshots kept.")
    scores_full: Duration = Field(
        7 * 86400.0, ge=3600, description="Age until which every stored score is kept; older ones thin to one an hour."
    )
    scores_hourly: Duration = Field(
        90 * 86400.0, ge=86400, description="Age until which hourly scores are kept; older ones thin to one a day."
    )
    equity_hourly: Duration = Field(
        365 * 86400.0, ge=8 * 86400, description="Age until which every point of the equity is kept; then one a day."
    )
    signals_kept: Duration = Field(
        365 * 86400.0, ge=32 * 86400, description="Age at which processed signals are deleted, outcomes included."
    )
    outbox_kept: Duration = Field(
        7 * 86400.0, ge=3600, description="Real time for which messages that were sent, or given up, stay on record."
    )


def is_loopback(host: str) -> bool:
    """Whether a host to listen on can be reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # a name may lead anywhere


def is_network(text: str) -> bool:
    """Whether a text is an IP address, or a network such as 10.0.0.0/8."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


class ApiTable(Table):
    """The HTTP API."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on; a non-loopback one needs tokens and TLS or behind_proxy."
    )
    port: int = Field(8420, ge=0, le=65535, description="Port; 0 takes a free one.")
    token_file: str = Field(
        "", description="File of bearer tokens (mode 0600); empty: tokens.json in the state directory."
    )
    open_loopback: bool = Field(False, description="Let loopback callers read, signal and operate without a token.")
    behind_proxy: bool = Field(False, description="A proxy terminates TLS in front of a non-loopback bind.")
    tls_cert: str = Field("", description="PEM certificate for TLS; empty: plain HTTP.")
    tls_key: str = Field("", description="PEM key for TLS.")
    allowed_hosts: list[str] = Field([], description="Host header values accepted besides loopback names.")
    allowed_origins: list[str] = Field([], description="Origin header values accepted besides our own.")
    max_connections: int = Field(256, ge=8, le=65536, description="Open connections at most.")
    max_connections_per_address: int = Field(64, ge=4, le=65536, description="Open connections of one address at most.")
    max_body_kb: int = Field(256, ge=1, le=65536, description="Largest request body.")
    receive_deadline: Duration = Field(
        10.0, gt=0, le=300, description="Time in which a request's header must arrive; its body gets three times that."
    )
    requests_per_minute: int = Field(6000, ge=1, description="Requests a minute of one token or address; above it 429.")
    push_ring: int = Field(
        4096, ge=16, le=1048576, description="Events kept for clients that lag or come back; older ones are dropped."
    )
    push_clients: int = Field(64, ge=0, le=65536, description="Clients that listen to the stream or websocket at most.")
    push_clients_per_caller: int = Field(16, ge=0, le=65536, description="Those of one token or address at most.")
    push_deadline: Duration = Field(
        5.0, gt=0, le=300, description="Time in which a listening client takes what is written; then it is cut."
    )
    push_heartbeat: Duration = Field(
        15.0, gt=0, le=300, description="Longest silence towards a listening client; its token is looked at as often."
    )
    freqtrade_exchange: Literal["binance", "bybit", "gate", "kucoin", "okx"] = Field(
        "binance", description="Whose names freqtrade's websocket gives a consumer that names no exchange."
    )
    alert_strength: float = Field(
        0.5, ge=0, le=1, description="Strength of an alert (TradingView, OctoBot) that does not say its own."
    )
    alert_confidence: float = Field(0.5, ge=0, le=1, description="Confidence of an alert that does not say its own.")
    tradingview_addresses: list[str] = Field(
        [], description="Addresses and networks that may call TradingView's webhook; empty: any that has the secret."
    )
    debug: bool = Field(False, description="Serve /debug/portfolio: the book, memory and database; loopback only.")

    @model_validator(mode="after")
    def _bind_is_safe(self) -> ApiTable:
        loopback = is_loopback(self.host)
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key belong together")
        if not loopback and not self.behind_proxy and not self.tls_cert:
            raise ValueError(f"host {self.host} is not loopback: set tls_cert and tls_key, or behind_proxy = true")
        if self.open_loopback and (not loopback or self.behind_proxy):
            raise ValueError("open_loopback needs a loopback host and no proxy in front")
        for network in self.tradingview_addresses:
            if not is_network(network):
                raise ValueError(f"tradingview_addresses: {network!r} is neither an address nor a network")
        if self.debug and (not loopback or self.behind_proxy):
            raise ValueError("debug needs a loopback host and no proxy in front")
        return self


class LogTable(Table):
    """Structured logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is written.")
    format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: readable lines on a terminal, JSON lines elsewhere."
    )
    repeat_every: Duration = Field(
        60.0, ge=0, description="A repeated warning is written at most so often, with its count."
    )
    sql: bool = Field(False, description="Log every SQL statement.")


class CaptureTable(Table):
    """Recording of the core's inputs, for replay."""

    dir: str = Field("", description="Folder to record into; empty: no recording.")
    segment_mb: int = Field(256, ge=1, le=65536, description="Size at which a segment ends before its hour does.")
    flush: Duration = Field(0.5, gt=0, le=60, description="Longest real time between two flushes.")
    keep_segments: int = Field(0, ge=0, description="Segments kept; 0: all.")


class Settings(Table):
    """All of `zmart.toml`."""

    profile: str = Field("balanced", description="Overlay from config/profiles: fast, balanced, slow, or a path.")
    state_dir: str = Field(
        "", description="Where state lives; empty: $STATE_DIRECTORY, else a per-user state directory."
    )
    venue: VenueSettings = Field(default_factory=VenueSettings)
    sandbox: SandboxTable = Field(default_factory=SandboxTable)
    feed: FeedTable = Field(default_factory=FeedTable)
    market: MarketTable = Field(default_factory=MarketTable)
    freshness: FreshnessTable = Field(default_factory=FreshnessTable)
    scoring: ScoringTable = Field(default_factory=ScoringTable)
    portfolio: PortfolioTable = Field(default_factory=PortfolioTable)
    signals: SignalsTable = Field(default_factory=SignalsTable)
    storage: StorageTable = Field(default_factory=StorageTable)
    api: ApiTable = Field(default_factory=ApiTable)
    notify: NotifyTable = Field(default_factory=NotifyTable)
    log: LogTable = Field(default_factory=LogTable)
    capture: CaptureTable = Field(default_factory=CaptureTable)
    sectors: dict[str, Coin] = Field(
        {}, description="Base -> sector over the built-in table (empty: none), or a table with sector and size class."
    )
