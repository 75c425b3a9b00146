"""The book: who is in it, at which rank and weight, and why.

OPTIMISERS is the table of weight optimisers by the name that the configuration uses.
"""

from zmart_stream.portfolio.weights.equal import Equal
from zmart_stream.portfolio.weights.hrp import HierarchicalRiskParity
from zmart_stream.portfolio.weights.inverse_volatility import InverseVolatility
from zmart_stream.portfolio.weights.max_diversification import MaxDiversification
from zmart_stream.portfolio.weights.min_variance import MinVariance
from zmart_stream.portfolio.weights.problem import Optimiser
from zmart_stream.portfolio.weights.risk_parity import RiskParity
from zmart_stream.portfolio.weights.score import Score

OPTIMISERS: dict[str, type[Optimiser]] = {
    "equal": Equal,
    "score": Score,
    "inverse_volatility": InverseVolatility,
    "min_variance": MinVariance,
    "risk_parity": RiskParity,
    "hrp": HierarchicalRiskParity,
    "max_diversification": MaxDiversification,
}
