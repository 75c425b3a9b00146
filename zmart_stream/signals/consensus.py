"""Many opinions, one probability: a weighted mean of log odds, with quorum, veto and dissent (numbers.md §4).

logit P = (w₀·logit(prior) + Σ wᵢ·logit pᵢ) / (w₀ + Σ wᵢ) over the agents that spoke, w₀ = 1,
prior = 0.5 + 0.5·strength·(confidence − 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, fsum, log, sqrt

import msgspec

from zmart_stream.domain.signals import Opinion

PRIOR_WEIGHT = 1.0


class Consensus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the opinions amount to. `p` and `dissent` are rounded to 1e-6 before anything is compared with them."""

    p: float
    prior: float
    spoke: int
    veto: str | None
    dissent: float
    weights: dict[str, float]


def prior_of(strength: float, confidence: float) -> float:
    """What the source says, 0.25 to 0.75; both arguments in [0, 1]."""
    return 0.5 + 0.5 * strength * (confidence - 0.5)


def logit(p: float) -> float:
    """Log odds of p in (0, 1)."""
    return log(p / (1.0 - p))


def weigh(opinions: Sequence[Opinion], weights: Mapping[str, float], prior: float) -> Consensus:
    """The consensus of `opinions`; agents without a weight count 1. Their order changes nothing."""
    spoken = [opinion for opinion in opinions if opinion.stance != "abstain"]
    used = {opinion.agent: weights.get(opinion.agent, 1.0) for opinion in spoken}
    total = fsum([PRIOR_WEIGHT, *used.values()])
    odds = fsum([PRIOR_WEIGHT * logit(prior), *(used[opinion.agent] * logit(opinion.p) for opinion in spoken)]) / total
    vetoes = sorted(opinion.agent for opinion in spoken if opinion.veto)
    return Consensus(
        p=round(1.0 / (1.0 + exp(-odds)), 6),
        prior=prior,
        spoke=len(spoken),
        veto=vetoes[0] if vetoes else None,
        dissent=round(_spread(spoken, used), 6),
        weights=used,
    )


def verdict(consensus: Consensus, *, approve_at: float, quorum: int) -> str:
    """Why a signal is approved ("approved") or not: veto, no_quorum, below_threshold."""
    if consensus.veto is not None:
        return "veto"
    if consensus.spoke < quorum:
        return "no_quorum"
    return "approved" if consensus.p >= approve_at else "below_threshold"


def _spread(spoken: Sequence[Opinion], weights: Mapping[str, float]) -> float:
    """Weighted standard deviation of the probabilities; 0 for fewer than two."""
    mass = fsum(weights[opinion.agent] for opinion in spoken)
    if len(spoken) < 2 or mass <= 0.0:
        return 0.0
    mean = fsum(weights[opinion.agent] * opinion.p for opinion in spoken) / mass
    return sqrt(fsum(weights[opinion.agent] * (opinion.p - mean) ** 2 for opinion in spoken) / mass)
