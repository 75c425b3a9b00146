"""From the operator's settings to the core's: durations of the transport scaled to market time, tables flattened."""

from __future__ import annotations

from typing import Literal

from zmart_stream.app.settings import FreshnessTable, MarketTable, PortfolioTable, Settings
from zmart_stream.app.settings_scoring import ComponentTable, ScoringTable
from zmart_stream.app.settings_sectors import sectors_of
from zmart_stream.app.settings_signals import AgentsTable, AgentTable, DetectorsTable, DetectorTable, SignalsTable
from zmart_stream.domain.settings import (
    AgentSettings,
    CoreSettings,
    DetectorSettings,
    MarketSettings,
    PortfolioSettings,
    ScorerSettings,
    ScoringSettings,
    SignalSettings,
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
    "notify.",
)
"""Settings that a reload cannot change; prefixes end with a dot."""


def core_settings(settings: Settings, speed: float | Literal["max"]) -> CoreSettings:
    """The core's dials at a venue that runs at `speed` (numbers §1: transport durations are multiplied by it)."""
    scale = 1.0 if speed == "max" else max(speed, 1.0)
    first_fill = AT_WARM_UP_S if speed == "max" else settings.portfolio.first_fill_after * scale
    return CoreSettings(
        market=_market(settings.market, settings.freshness, settings.feed.contracts_poll, speed, scale),
        scoring=_scoring(settings.scoring),
        portfolio=_portfolio(settings.portfolio, first_fill, sectors_of(settings.sectors)),
        signals=_signals(settings.signals),
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
        sectors=sectors,
    )


def _signals(table: SignalsTable) -> SignalSettings:
    return SignalSettings(
        approve_at=table.approve_at,
        quorum=table.quorum,
        dedupe_s=table.dedupe_s,
        expires_s=table.expires_in_s,
        outcome_horizon_s=table.outcome_horizon,
        tilt_ttl_s=table.tilt_ttl,
        tilt_up=table.tilt_up,
        tilt_down=table.tilt_down,
        max_data_bytes=table.max_data_kb * 1024,
        half_life_s=table.half_life,
        calibrate_after=table.calibrate_after,
        learn_weights=table.learn_weights,
        failures_to_disable=table.failures_to_disable,
        agents=_agents(table.agents),
        detectors=_detectors(table.detectors),
    )


def _agents(table: AgentsTable) -> tuple[AgentSettings, ...]:
    """Built-in ones in the order of the table, then custom ones; weight 0 leaves one out."""
    found = []
    for name in type(table).model_fields:
        agent = getattr(table, name)
        if isinstance(agent, AgentTable):
            found.append(AgentSettings(name=name, weight=agent.weight, options=dict(agent.options)))
    for own in table.custom:
        path, options = own.path or None, dict(own.options)
        found.append(AgentSettings(name=own.name, weight=own.weight, path=path, options=options))
    return tuple(agent for agent in found if agent.weight > 0)


def _detectors(table: DetectorsTable) -> tuple[DetectorSettings, ...]:
    """Built-in ones that are on, then custom ones."""
    found = []
    for name in type(table).model_fields:
        detector = getattr(table, name)
        if isinstance(detector, DetectorTable) and detector.on:
            found.append(DetectorSettings(name=name, cooldown_s=detector.cooldown, options=dict(detector.options)))
    for own in table.custom:
        path, options = own.path or None, dict(own.options)
        found.append(DetectorSettings(name=own.name, cooldown_s=own.cooldown, path=path, options=options))
    return tuple(found)
