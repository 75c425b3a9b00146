"""Push: what happens, told to whoever listens, over server-sent events and websockets."""
