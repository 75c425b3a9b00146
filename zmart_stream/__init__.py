"""zmart-stream: scores every KuCoin futures contract as the market moves and keeps a book of the best."""

__version__ = "0.1.0"
