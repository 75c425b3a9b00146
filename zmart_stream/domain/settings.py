"""The core's dials, as frozen values; `app/config.py` fills them from `zmart.toml`.

Durations are market seconds; the transport ones (marked T) are real seconds that compose has already
multiplied by the venue's speed. Defaults and meanings: docs/numbers.md.
"""

from __future__ import annotations

from typing import Any

import msgspec


class MarketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Windows, bars, freshness and the universe."""

    bar_s: int = 3600  # decision interval: 900, 3600 or 14400
    window_hours: int = 240
    window_days: int = 60
    close_grace_s: float = 1.5  # T
    min_turnover_usdt: float = 2e6
    min_listed_days: float = 7.0
    gap_floor_ticker_s: float = 10.0  # T
    gap_floor_execution_s: float = 60.0  # T
    gap_floor_instrument_s: float = 5.0  # T
    gap_floor_poll_s: float = 20.0  # T: twice the contracts poll's period
    gap_floor_depth_s: float = 240.0  # T: twice the rotation's period
    sweep_s: float = 1.0  # T: how often ages are judged


class ScorerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One component: its weight in the composite, its parts' weights, the plug-in's own options."""

    name: str
    weight: float
    parts: dict[str, float] = {}
    path: str | None = None  # dotted path "package.module:Class" or None for built-in and entry points
    options: dict[str, Any] = {}


class ScoringSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How raw values become scores."""

    publish_step: float = 0.5
    min_confidence: float = 0.5
    probe_usdt: float = 10_000.0
    failures_to_disable: int = 3
    components: tuple[ScorerSettings, ...] = ()


class PortfolioSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of the book."""

    automatic: bool = True
    max_symbols: int = 10
    max_spread_bps: float = 15.0
    held_turnover_factor: float = 0.7
    held_spread_factor: float = 1.5
    first_fill_after_s: float = 90.0  # T; negative: at the end of warm-up
    first_fill_share: float = 0.9
    live_share: float = 0.6
    entry_score: float = 50.0
    exit_score: float = 35.0
    exit_confirm: int = 3
    fill_confirm: int = 2
    replace_margin: float = 12.0
    confirm: int = 3
    min_hold_s: float = 86400.0
    max_swaps_per_day: int = 4
    max_per_sector: int = 4
    max_correlation: float = 0.90
    correlation_half_life_h: float = 72.0
    grace: int = 2
    reentry_s: float = 86400.0
    depth_candidates: int = 40
    optimiser: str = "risk_parity"  # a name of portfolio.OPTIMISERS
    cash: float = 0.0  # percent of equity that is never invested
    max_weight: float = 25.0  # percent of equity a holding may take; what is left over is cash
    min_weight: float = 2.0  # percent
    max_sector_weight: float = 60.0  # percent; contracts without a sector are exempt
    max_turnover: float = 100.0  # percent of equity traded one way per re-weighting
    bps_per_point: float = 2.0  # what a point of score is taken to earn in a swap
    cost_safety: float = 1.25  # times its cost a swap has to earn
    signal_points: float = 5.0  # added to the gap of a swap that an approved signal asks for
    start_usdt: float = 100_000.0  # paper equity of a new ledger
    swap_horizon_s: float = 7 * 86400.0  # after it a swap's result is final
    sectors: dict[str, str] = {}  # base -> sector, over the built-in table


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One agent: its weight in the consensus and the plug-in's own options."""

    name: str
    weight: float = 1.0  # above 0
    path: str | None = None  # dotted path "package.module:Class" or None for built-in and entry points
    options: dict[str, Any] = {}


class DetectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One detector: how long it keeps silent about a contract and direction, and the plug-in's own thresholds."""

    name: str
    cooldown_s: float = 86400.0
    path: str | None = None
    options: dict[str, Any] = {}


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How signals are judged."""

    approve_at: float = 0.55  # consensus probability from which a signal is approved
    quorum: int = 3  # agents that have to speak
    dedupe_s: float = 60.0
    expires_s: float = 900.0  # of a signal that does not say when it expires
    outcome_horizon_s: float = 86400.0
    tilt_ttl_s: float = 86400.0  # how long an approved signal tilts a weight
    tilt_up: float = 1.25
    tilt_down: float = 0.8
    max_data_bytes: int = 16384  # of signal_data as JSON
    half_life_s: float = 30 * 86400.0  # of what scorecards count
    calibrate_after: int = 30  # outcomes from which a source's hit rate replaces its confidence
    learn_weights: bool = False
    failures_to_disable: int = 3
    agents: tuple[AgentSettings, ...] | None = None  # None: the built-in ones, weight 1 each
    detectors: tuple[DetectorSettings, ...] = ()


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the core is tuned by."""

    market: MarketSettings = MarketSettings()
    scoring: ScoringSettings = ScoringSettings()
    portfolio: PortfolioSettings = PortfolioSettings()
    signals: SignalSettings = SignalSettings()
