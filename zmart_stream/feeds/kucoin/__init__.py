"""KuCoin futures over websocket and REST."""
