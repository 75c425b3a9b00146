"""The settings of scores: components, their parts, custom scorers."""

from __future__ import annotations

from pydantic import Field, model_validator

from zmart_stream.app.settings_table import Table


class ComponentTable(Table):
    """A component of the composite: its weight and its parts' weights."""

    weight: float = Field(ge=0, le=1, description="Weight in the composite; 0 leaves the component out.")
    parts: dict[str, float] = Field({}, description="Weights of the parts.")


class PluginTable(Table):
    """A custom scorer."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,31}$", description="Its name: of an entry point, or any when `path` is given."
    )
    path: str = Field(
        "", description="Dotted path `package.module:Class`; empty: an entry point of the group zmart_stream.scorers."
    )
    weight: float = Field(ge=0, le=1, description="Weight in the composite.")
    parts: dict[str, float] = Field({}, description="Weights of its parts; its own defaults where absent.")
    options: dict[str, object] = Field({}, description="Keyword arguments of its constructor.")


def _technical() -> ComponentTable:
    parts = {"rsi": 0.3, "macd": 0.3, "bollinger": 0.2, "volume": 0.2, "flow": 0.0, "stretch": 0.0}
    return ComponentTable(weight=0.25, parts=parts)


def _fundamental() -> ComponentTable:
    return ComponentTable(
        weight=0.2, parts={"volume_growth": 0.35, "open_interest": 0.3, "funding": 0.25, "basis": 0.1}
    )


def _structure() -> ComponentTable:
    return ComponentTable(weight=0.15, parts={"spread": 0.3, "depth": 0.25, "impact": 0.25, "efficiency": 0.2})


def _risk() -> ComponentTable:
    return ComponentTable(
        weight=0.4, parts={"volatility": 0.4, "max": 0.25, "drawdown": 0.15, "liquidity": 0.15, "correlation": 0.05}
    )


_COMPONENTS = {"technical": _technical, "fundamental": _fundamental, "structure": _structure, "risk": _risk}


class ScoringTable(Table):
    """How raw values become scores."""

    publish_step: float = Field(0.5, gt=0, le=20, description="A composite is announced when it moved so many points.")
    min_confidence: float = Field(0.5, ge=0, le=1, description="Below this confidence a contract has no composite.")
    probe_usdt: float = Field(10_000.0, gt=0, le=1e7, description="Size in USDT whose market impact is judged.")
    failures_to_disable: int = Field(
        3, ge=1, le=100, description="A custom scorer that fails so often in a row is left out."
    )
    technical: ComponentTable = Field(default_factory=_technical)
    fundamental: ComponentTable = Field(default_factory=_fundamental)
    structure: ComponentTable = Field(default_factory=_structure)
    risk: ComponentTable = Field(default_factory=_risk)
    custom: list[PluginTable] = Field([], description="Custom scorers, as [[scoring.custom]] tables.")

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, given: object) -> object:
        """A component's table may name only what it changes."""
        if not isinstance(given, dict):
            return given
        whole = dict(given)
        for name, default in _COMPONENTS.items():
            table = whole.get(name)
            if isinstance(table, dict):
                usual = default()
                parts = table.get("parts", {})
                merged = {**usual.parts, **parts} if isinstance(parts, dict) else parts
                whole[name] = {"weight": usual.weight, **table, "parts": merged}
        return whole

    @model_validator(mode="after")
    def _something_counts(self) -> ScoringTable:
        weights = [self.technical.weight, self.fundamental.weight, self.structure.weight, self.risk.weight]
        if sum(weights) + sum(plugin.weight for plugin in self.custom) <= 0:
            raise ValueError("at least one component needs a weight above 0")
        names = [plugin.name for plugin in self.custom]
        if len(set(names)) != len(names):
            raise ValueError("two custom scorers have the same name")
        return self
