"""Settings become scorers, or one ConfigError with every problem, naming table and key."""

from __future__ import annotations

import pytest

from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.settings import ScorerSettings, ScoringSettings
from zmart_stream.scoring.registry import build_scorers


def problems(*components: ScorerSettings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build_scorers(ScoringSettings(components=components))
    return caught.value.problems


def test_without_settings_the_four_components_stand() -> None:
    scorers = build_scorers(ScoringSettings())
    assert [s.name for s in scorers] == ["technical", "fundamental", "structure", "risk"]
    weights = {s.name: {p.name: p.weight for p in s.parts} for s in scorers}
    assert weights["risk"] == {"volatility": 0.4, "max": 0.25, "drawdown": 0.15, "liquidity": 0.15, "correlation": 0.05}
    assert all(sum(parts.values()) == pytest.approx(1.0) for parts in weights.values())


def test_a_component_without_weight_is_left_out_and_parts_are_weighed_anew() -> None:
    settings = ScoringSettings(
        components=(
            ScorerSettings(name="risk", weight=0.0),
            ScorerSettings(name="technical", weight=1.0, parts={"flow": 0.5}),
        )
    )
    (technical,) = build_scorers(settings)
    assert {p.name: p.weight for p in technical.parts}["flow"] == 0.5


def test_the_reference_depth_is_the_probe() -> None:
    settings = ScoringSettings(probe_usdt=1.0)
    structure = build_scorers(settings)[2]
    assert structure.parts[1].location == 0.0


def test_every_problem_is_told_with_table_key_and_nearest_name() -> None:
    found = problems(
        ScorerSettings(name="technicl", weight=0.1),
        ScorerSettings(name="risk", weight=0.1, parts={"volatilty": 1.0}),
        ScorerSettings(name="structure", weight=0.1, options={"probe_usd": 5}),
        ScorerSettings(name="own", weight=0.1, path="nowhere.at.all:Thing"),
        ScorerSettings(name="own2", weight=0.1, path="no-colon"),
        ScorerSettings(name="own3", weight=0.1, path="zmart_stream.scoring.risk:Missing"),
        ScorerSettings(
            name="fundamental",
            weight=0.1,
            parts=dict.fromkeys(("volume_growth", "open_interest", "funding", "basis"), 0.0),
        ),
    )
    assert "did you mean 'technical'?" in found[0]
    assert found[1].startswith("zmart.toml [scoring.risk]: no part 'volatilty' (did you mean 'volatility'?)")
    assert found[2].startswith("zmart.toml [scoring.structure]: no option 'probe_usd' (did you mean 'probe_usdt'?)")
    assert found[3].startswith('zmart.toml [[scoring.custom]] "own": path: cannot import')
    assert "package.module:Class" in found[4]
    assert "Missing" in found[5]
    assert "at least one part needs a weight above 0" in found[6]
    assert len(found) == 7


def test_a_class_that_is_no_scorer_is_refused() -> None:
    found = problems(ScorerSettings(name="own", weight=0.1, path="zmart_stream.market.rows:Rows"))
    assert found == ['zmart.toml [[scoring.custom]] "own": own has no parts: a tuple of at least one Part']


def test_two_components_of_one_name_are_refused() -> None:
    found = problems(
        ScorerSettings(name="risk", weight=0.1),
        ScorerSettings(name="risk", weight=0.1, path="zmart_stream.scoring.risk:RiskScorer"),
    )
    assert found == ["zmart.toml [scoring]: there are two components named 'risk'"]
