"""Where market facts come from."""
