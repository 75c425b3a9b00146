"""The deterministic core: one message in, its whole cascade out."""
