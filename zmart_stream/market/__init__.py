"""The rolling-window cache: one slotted object per contract, one column per bar field."""
