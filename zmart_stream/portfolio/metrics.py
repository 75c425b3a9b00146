"""Risk and performance of an equity curve (numbers.md §6). A figure has a value, or the reason why it has none.

Definitions are those of empyrical: simple returns, no risk-free rate, deviations with n − 1, annualised by 365 days.
All fractions, losses as positive numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, fsum, isfinite, nan, sqrt

import msgspec
import numpy as np

from zmart_stream.portfolio.account import Stay
from zmart_stream.portfolio.attribution import Period, fold
from zmart_stream.portfolio.weights.problem import FloatArray

YEAR_DAYS = 365.0
LEAST = 20
"""Returns that an annualised figure, beta or correlation needs."""

LEAST_TAIL = {0.95: 100, 0.99: 500}
LEAST_CALMAR_DAYS = 7.0
_HOUR_NS = 3600 * 1_000_000_000

_Ratio = Callable[[float, float, float], float | None]
"""Of the sums of products x y, x x and y y of deviations."""


class Figure(msgspec.Struct, frozen=True, gc=False):
    """A value, or None and why."""

    value: float | None
    reason: str | None = None


class Drawdown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The deepest fall from a high."""

    depth: float
    """Fraction of the high, at least 0."""
    length: int
    """Returns from the high to the recovery, or to the end if there is none yet."""
    is_over: bool


class Curve(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Returns of the book over equal steps, and of what it is held against. nan where one is not known."""

    returns: FloatArray
    step_s: float
    benchmark: FloatArray
    reference: FloatArray
    """XBTUSDTM's."""

    @property
    def steps_a_year(self) -> float:
        """Steps in 365 days."""
        return YEAR_DAYS * 86_400.0 / self.step_s


def portfolio_metrics(
    periods: Sequence[Period],
    step_s: float,
    *,
    stays: Sequence[Stay],
    weights: Mapping[str, float],
    covariance: FloatArray | None,
) -> dict[str, Figure]:
    """Every figure of numbers.md §6 over consecutive `periods` of `step_s`.

    `stays` are all finished ones, of which those count that ended within the periods; `weights` the present holdings',
    with the `covariance` of their returns in the same order (None: not known).
    """
    whole = fold(periods)
    since = periods[0].start if periods else 0
    ended = [stay for stay in stays if whole is not None and stay.until > since]
    held = np.array(list(weights.values()))
    return {
        **performance(curve_of(periods, step_s)),
        **_trading(whole),
        "effective_holdings": effective_holdings(list(weights.values())),
        "diversification_ratio": Figure(None, "the covariance is not known")
        if covariance is None
        else diversification_ratio(held, covariance),
        "hit_rate": hit_rate(ended),
        "average_hold_h": average_hold_h(ended),
    }


def curve_of(periods: Sequence[Period], step_s: float) -> Curve:
    """The returns of `periods`."""
    return Curve(
        returns=np.array([period.gain for period in periods], dtype=np.float64),
        step_s=step_s,
        benchmark=np.array([period.benchmark for period in periods], dtype=np.float64),
        reference=np.array([nan if p.reference is None else p.reference for p in periods], dtype=np.float64),
    )


def performance(curve: Curve) -> dict[str, Figure]:
    """All figures that follow from returns alone."""
    returns = curve.returns
    fall = drawdown(returns)
    return {
        "return": _enough(returns, 1) or Figure(total_return(returns)),
        "volatility": _enough(returns, LEAST) or Figure(volatility(returns, curve.steps_a_year)),
        "sharpe": _enough(returns, LEAST) or sharpe(returns, curve.steps_a_year),
        "sortino": _enough(returns, LEAST) or sortino(returns, curve.steps_a_year),
        "calmar": _calmar(curve, fall),
        "max_drawdown": _enough(returns, 1) or Figure(fall.depth),
        "max_drawdown_h": _enough(returns, 1) or Figure(fall.length * curve.step_s / 3600.0),
        "var_95": value_at_risk(returns, 0.95),
        "cvar_95": expected_shortfall(returns, 0.95),
        "var_99": value_at_risk(returns, 0.99),
        "cvar_99": expected_shortfall(returns, 0.99),
        "beta_reference": beta(returns, curve.reference),
        "correlation_reference": correlation(returns, curve.reference),
        "beta_benchmark": beta(returns, curve.benchmark),
        "correlation_benchmark": correlation(returns, curve.benchmark),
    }


def total_return(returns: FloatArray) -> float:
    """Π(1 + r) − 1."""
    return float(np.multiply.reduce(1.0 + returns)) - 1.0


def volatility(returns: FloatArray, steps_a_year: float) -> float:
    """Standard deviation of a step × √(steps in a year)."""
    return _deviation(returns) * sqrt(steps_a_year)


def sharpe(returns: FloatArray, steps_a_year: float) -> Figure:
    """Mean over standard deviation, × √(steps in a year)."""
    deviation = _deviation(returns)
    if deviation <= 0.0:
        return Figure(None, "the returns do not vary")
    return Figure(_mean(returns) / deviation * sqrt(steps_a_year))


def sortino(returns: FloatArray, steps_a_year: float) -> Figure:
    """Mean over the root mean square of the losses, × √(steps in a year)."""
    downside = sqrt(_mean(np.minimum(returns, 0.0) ** 2))
    if downside <= 0.0:
        return Figure(None, "there was no loss")
    return Figure(_mean(returns) / downside * sqrt(steps_a_year))


def drawdown(returns: FloatArray) -> Drawdown:
    """The deepest fall of Π(1 + r) from its high, the start's 1 included."""
    levels = np.concatenate((np.ones(1), np.multiply.accumulate(1.0 + returns)))
    highs = np.maximum.accumulate(levels)
    falls = 1.0 - levels / highs
    lowest = int(np.argmax(falls))
    if falls[lowest] <= 0.0:
        return Drawdown(depth=0.0, length=0, is_over=True)
    high = int(np.argmax(levels[: lowest + 1] >= highs[lowest]))
    recovered = np.flatnonzero(levels[lowest:] >= highs[lowest])
    end = lowest + int(recovered[0]) if len(recovered) else len(levels) - 1
    return Drawdown(depth=float(falls[lowest]), length=end - high, is_over=bool(len(recovered)))


def value_at_risk(returns: FloatArray, level: float) -> Figure:
    """The loss that `level` of the returns do not exceed: minus their (1 − level) quantile, linear between ranks."""
    missing = _enough(returns, LEAST_TAIL[level])
    if missing is not None:
        return missing
    place = (1.0 - level) * (len(returns) - 1)
    ordered = np.sort(returns)
    low, high = float(ordered[floor(place)]), float(ordered[ceil(place)])
    return Figure(-(low + (place - floor(place)) * (high - low)))


def expected_shortfall(returns: FloatArray, level: float) -> Figure:
    """CVaR: the mean loss of the worst (1 − level) of the returns, the one at the border included."""
    missing = _enough(returns, LEAST_TAIL[level])
    if missing is not None:
        return missing
    worst = np.sort(returns)[: int((len(returns) - 1) * (1.0 - level)) + 1]
    return Figure(-_mean(worst))


def beta(returns: FloatArray, factor: FloatArray) -> Figure:
    """Covariance with `factor` over its variance, where both are known."""
    return _regressed(returns, factor, lambda xy, xx, _: xy / xx)


def correlation(returns: FloatArray, factor: FloatArray) -> Figure:
    """Pearson's, where both are known."""
    return _regressed(returns, factor, lambda xy, xx, yy: xy / sqrt(xx * yy) if yy > 0.0 else None)


def effective_holdings(weights: Sequence[float]) -> Figure:
    """1 / Σ w² of the invested part: how many equal holdings are as concentrated."""
    total = fsum(weights)
    if total <= 0.0:
        return Figure(None, "nothing is held")
    return Figure(total**2 / fsum(weight**2 for weight in weights))


def diversification_ratio(weights: FloatArray, covariance: FloatArray) -> Figure:
    """Σ w s / √(w'Vw), s the volatilities: 1 for one risk."""
    variance = float(np.einsum("i,ij,j->", weights, covariance, weights))
    if not (isfinite(variance) and variance > 0.0):
        return Figure(None, "nothing is held whose covariance is known")
    return Figure(float(np.add.reduce(weights * np.sqrt(np.diagonal(covariance)))) / sqrt(variance))


def hit_rate(stays: Sequence[Stay]) -> Figure:
    """Share of the finished stays that earned more than they cost."""
    if not stays:
        return Figure(None, "no holding has left the book")
    return Figure(sum(1 for stay in stays if stay.earned > 0) / len(stays))


def average_hold_h(stays: Sequence[Stay]) -> Figure:
    """Mean time in the book of the finished stays, in hours."""
    if not stays:
        return Figure(None, "no holding has left the book")
    return Figure(sum(stay.until - stay.since for stay in stays) / len(stays) / _HOUR_NS)


def _trading(whole: Period | None) -> dict[str, Figure]:
    """Turnover (half of bought and sold), costs and funding, fractions of the equity at the start."""
    if whole is None:
        return dict.fromkeys(("turnover", "costs", "funding"), Figure(None, "0 returns, 1 are needed"))
    return {"turnover": Figure(whole.traded / 2.0), "costs": Figure(-whole.costs), "funding": Figure(whole.funding)}


def _calmar(curve: Curve, fall: Drawdown) -> Figure:
    missing = _enough(curve.returns, LEAST)
    if missing is not None:
        return missing
    days = len(curve.returns) * curve.step_s / 86_400.0
    if days < LEAST_CALMAR_DAYS:
        return Figure(None, f"{days:.1f} days of history, {LEAST_CALMAR_DAYS:g} are needed")
    if fall.depth <= 0.0:
        return Figure(None, "there was no drawdown")
    grown = 1.0 + total_return(curve.returns)
    yearly = grown ** (curve.steps_a_year / len(curve.returns)) - 1.0 if grown > 0.0 else -1.0
    return Figure(yearly / fall.depth)


def _regressed(returns: FloatArray, factor: FloatArray, figure: _Ratio) -> Figure:
    both = ~(np.isnan(returns) | np.isnan(factor))
    y, x = returns[both], factor[both]
    missing = _enough(y, LEAST)
    if missing is not None:
        return missing
    dx, dy = x - _mean(x), y - _mean(y)
    xx, yy, xy = (float(np.add.reduce(product)) for product in (dx * dx, dy * dy, dx * dy))
    value = figure(xy, xx, yy) if xx > 0.0 else None
    return Figure(value, None if value is not None else "the returns do not vary")


def _enough(returns: FloatArray, least: int) -> Figure | None:
    if len(returns) >= least:
        return None
    return Figure(None, f"{len(returns)} returns, {least} are needed")


def _mean(series: FloatArray) -> float:
    return float(np.add.reduce(series)) / len(series)


def _deviation(returns: FloatArray) -> float:
    spread = returns - _mean(returns)
    return sqrt(float(np.add.reduce(spread * spread)) / (len(returns) - 1))
