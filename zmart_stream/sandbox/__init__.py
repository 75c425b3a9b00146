"""A KuCoin futures venue on loopback, written from the protocol alone; it shares no code with `feeds`."""
