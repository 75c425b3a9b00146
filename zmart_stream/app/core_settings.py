"""From the operator's settings to the core's: durations of the transport scaled to market time, tables flattened."""

from __future__ import annotations

from typing import Literal

from zmart_stream.app.settings import FreshnessTable, MarketTable, PortfolioTable, Settings
from zmart_stream.app.settings_scoring import ComponentTable, ScoringTable
from zmart_stream.domain.settings import (
    CoreSettings,
    MarketSettings,
    PortfolioSettings,
    ScorerSettings,
    ScoringSettings,
)

BAR_S = {"15m": 900, "1h": 3600, "4h": 14400}
BUILT_IN = ("technical", "fundamental", "structure", "risk")
MAX_GRACE_S = 60.0
"""At speed `max` the venue's connections may be this far apart (architecture §4a: 30 s), so a bar waits longer."""

AT_WARM_UP_S = -1.0
"""At speed `max` the first fill comes with the end of warm-up: the core takes a negative wait for that."""

RESTART_KEYS = (
    "state_dir",
    "venue.",
    "sandbox.",
    "feed.subscriptions_per_connection",
    "feed.inbox_size",
    "market.bar",
    "market.window_hours",
    "market.window_days",
    "storage.",
    "api.",
    "capture.",
)
"""Settings that a reload cannot change; prefixes end with a dot."""


def core_settings(settings: Settings, speed: float | Literal["max"]) -> CoreSettings:
    """The core's dials at a venue that runs at `speed` (numbers §1: transport durations are multiplied by it)."""
    scale = 1.0 if speed == "max" else max(speed, 1.0)
    first_fill = AT_WARM_UP_S if speed == "max" else settings.portfolio.first_fill_after * scale
    return CoreSettings(
        market=_market(settings.market, settings.freshness, settings.feed.contracts_poll, speed, scale),
        scoring=_scoring(settings.scoring),
        portfolio=_portfolio(settings.portfolio, first_fill, settings.sectors),
    )


def needs_restart(changed: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the dotted keys that only a restart applies."""
    return tuple(key for key in changed if any(key == rule or key.startswith(rule) for rule in RESTART_KEYS))


def _market(
    market: MarketTable, gaps: FreshnessTable, poll_s: float, speed: float | Literal["max"], scale: float
) -> MarketSettings:
    return MarketSettings(
        bar_s=BAR_S[market.bar],
        window_hours=market.window_hours,
        window_days=market.window_days,
        close_grace_s=MAX_GRACE_S if speed == "max" else market.close_grace * scale,
        min_turnover_usdt=market.min_turnover_usdt,
        min_listed_days=market.min_listed / 86400,
        gap_floor_ticker_s=gaps.ticker * scale,
        gap_floor_execution_s=gaps.execution * scale,
        gap_floor_instrument_s=gaps.instrument * scale,
        gap_floor_poll_s=2 * poll_s * scale,
        gap_floor_depth_s=gaps.depth * scale,
        sweep_s=1.0 * scale,
    )


def _scoring(scoring: ScoringTable) -> ScoringSettings:
    components = []
    for name in BUILT_IN:
        table: ComponentTable = getattr(scoring, name)
        components.append(ScorerSettings(name=name, weight=table.weight, parts=dict(table.parts)))
    components += [
        ScorerSettings(
            name=plugin.name,
            weight=plugin.weight,
            parts=dict(plugin.parts),
            path=plugin.path or None,
            options=dict(plugin.options),
        )
        for plugin in scoring.custom
    ]
    return ScoringSettings(
        publish_step=scoring.publish_step,
        min_confidence=scoring.min_confidence,
        probe_usdt=scoring.probe_usdt,
        failures_to_disable=scoring.failures_to_disable,
        components=tuple(component for component in components if component.weight > 0),
    )


def _portfolio(table: PortfolioTable, first_fill_after_s: float, sectors: dict[str, str]) -> PortfolioSettings:
    return PortfolioSettings(
        automatic=table.automatic,
        max_symbols=table.max_symbols,
        max_spread_bps=table.max_spread_bps,
        held_turnover_factor=table.held_turnover_factor,
        held_spread_factor=table.held_spread_factor,
        first_fill_after_s=first_fill_after_s,
        entry_score=table.entry_score,
        exit_score=table.exit_score,
        exit_confirm=table.exit_confirm,
        fill_confirm=table.fill_confirm,
        replace_margin=table.replace_margin,
        confirm=table.confirm,
        min_hold_s=table.min_hold,
        max_swaps_per_day=table.max_swaps_per_day,
        max_per_sector=table.max_per_sector,
        max_correlation=table.max_correlation,
        optimiser=table.optimiser,
        cash=table.cash,
        max_weight=table.max_weight,
        min_weight=table.min_weight,
        max_sector_weight=table.max_sector_weight,
        max_turnover=table.max_turnover,
        bps_per_point=table.bps_per_point,
        cost_safety=table.cost_safety,
        signal_points=table.signal_points,
        start_usdt=table.start_usdt,
        swap_horizon_s=table.swap_horizon,
        grace=table.grace,
        reentry_s=table.reentry,
        depth_candidates=table.depth_candidates,
        sectors=dict(sectors),
    )
