"""The settings of signals: consensus, agents, detectors, custom ones of both."""

from __future__ import annotations

from pydantic import Field, model_validator

from zmart_stream.app.settings_table import Duration, Table

_NAME = r"^[a-z][a-z0-9_]{0,31}$"


class AgentTable(Table):
    """A built-in agent: its weight in the consensus, and its own options."""

    weight: float = Field(1.0, ge=0, le=10, description="Weight in the consensus; 0 leaves the agent out.")
    options: dict[str, int | float] = Field({}, description="Keyword arguments of its constructor.")


class CustomAgentTable(Table):
    """A custom agent."""

    name: str = Field(pattern=_NAME, description="Its name: of an entry point, or any when `path` is given.")
    path: str = Field(
        "", description="Dotted path `package.module:Class`; empty: an entry point of the group zmart_stream.agents."
    )
    weight: float = Field(1.0, ge=0, le=10, description="Weight in the consensus.")
    options: dict[str, object] = Field({}, description="Keyword arguments of its constructor.")


class DetectorTable(Table):
    """A built-in detector: whether it is on, how often it may speak, and its thresholds."""

    on: bool = Field(True, description="Whether it raises signals.")
    cooldown: Duration = Field(
        86400.0, ge=0, description="Time in which it does not repeat itself about a contract and direction."
    )
    options: dict[str, int | float] = Field({}, description="Its thresholds.")


class CustomDetectorTable(Table):
    """A custom detector."""

    name: str = Field(pattern=_NAME, description="Its name: of an entry point, or any when `path` is given.")
    path: str = Field(
        "", description="Dotted path `package.module:Class`; empty: an entry point of the group zmart_stream.detectors."
    )
    cooldown: Duration = Field(
        86400.0, ge=0, description="Time in which it does not repeat itself about a contract and direction."
    )
    options: dict[str, object] = Field({}, description="Keyword arguments of its constructor.")


class AgentsTable(Table):
    """Who judges signals, in this order."""

    technical: AgentTable = AgentTable(
        options={"level": 0.6, "change_points": 20.0, "bars": 4, "min_confidence": 0.3},
    )
    fundamental: AgentTable = AgentTable(
        options={"level": 0.6, "change_points": 20.0, "bars": 4, "min_confidence": 0.3},
    )
    structure: AgentTable = AgentTable(options={"share": 0.25})
    risk: AgentTable = AgentTable(
        options={"max_volatility": 0.15, "max_drawdown": 0.5, "max_correlation": 0.95, "max_var_pct": 12.0},
    )
    fit: AgentTable = AgentTable(options={"points": 25.0})
    record: AgentTable = AgentTable(options={"min_outcomes": 1.0})
    custom: list[CustomAgentTable] = Field([], description="Custom agents, as [[signals.agents.custom]] tables.")

    @model_validator(mode="after")
    def _names_differ(self) -> AgentsTable:
        _check_names([each.name for each in self.custom], type(self))
        return self


class DetectorsTable(Table):
    """Who raises signals of our own."""

    breakout: DetectorTable = DetectorTable(options={"days": 20, "least_atr": 0.1, "least_volume": 2.0})
    rsi_divergence: DetectorTable = DetectorTable(
        options={"wing": 2, "apart_least": 4, "apart_most": 30, "least_points": 4.0, "least_extreme": 10.0},
    )
    volume_spike: DetectorTable = DetectorTable(options={"times": 5.0, "least_moves": 2.0, "hours": 168})
    funding_flip: DetectorTable = DetectorTable(options={"before": 3, "least_bps": 1.0})
    spread_collapse: DetectorTable = DetectorTable(options={"least_fall": 25.0, "bars": 4, "worst_pct": 20.0})
    new_listing: DetectorTable = DetectorTable(
        cooldown=30 * 86400.0,
        options={"age_days": 7.0, "least_turnover_usdt": 10e6, "least_score": 50.0},
    )
    custom: list[CustomDetectorTable] = Field(
        [], description="Custom detectors, as [[signals.detectors.custom]] tables."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> DetectorsTable:
        _check_names([each.name for each in self.custom], type(self))
        return self


class SignalsTable(Table):
    """How signals are judged."""

    approve_at: float = Field(0.55, gt=0, le=0.98, description="Consensus probability from which a signal is approved.")
    quorum: int = Field(3, ge=0, le=100, description="Agents that have to speak for an approval.")
    dedupe_s: float = Field(
        60.0, ge=0, le=86400, description="Seconds in which the same signal of a source gets the first one's answer."
    )
    expires_in_s: float = Field(
        900.0, gt=0, le=7 * 86400, description="Seconds after which a signal that does not say so itself expires."
    )
    outcome_horizon: Duration = Field(
        86400.0, ge=60, le=30 * 86400, description="Time after a decision at which its outcome is measured."
    )
    tilt_ttl: Duration = Field(
        86400.0, ge=60, le=30 * 86400, description="How long an approved signal tilts a holding's weight."
    )
    tilt_up: float = Field(1.25, ge=1, le=4, description="Factor on the target of a holding that a BUY speaks for.")
    tilt_down: float = Field(0.8, gt=0, le=1, description="Factor on that of a pinned one that a SELL speaks against.")
    max_data_kb: int = Field(16, ge=1, le=128, description="Largest signal_data, as JSON.")
    half_life: Duration = Field(30 * 86400.0, ge=3600, description="Half-life of the hits and misses in scorecards.")
    calibrate_after: int = Field(
        30, ge=1, le=10_000, description="Outcomes from which a source's hit rate replaces the confidence it states."
    )
    learn_weights: bool = Field(
        False, description="Let outcomes move the agents' weights, between half and twice what is set."
    )
    failures_to_disable: int = Field(
        3, ge=1, le=100, description="An agent or detector that fails so often in a row is left out."
    )
    plugin_budget: Duration = Field(
        0.02,
        gt=0,
        le=60,
        description="Real time of a plug-in's call (scorer, agent, detector); three slower ones in a row: left out.",
    )
    agents: AgentsTable = Field(default_factory=AgentsTable)
    detectors: DetectorsTable = Field(default_factory=DetectorsTable)


def _check_names(custom: list[str], table: type[Table]) -> None:
    if len(set(custom)) != len(custom):
        raise ValueError("two custom tables have the same name")
    for name in custom:
        if name in table.model_fields:
            raise ValueError(f"{name} is a built-in name")
