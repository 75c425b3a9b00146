"""KuCoin Futures: public market data over websocket and REST."""
