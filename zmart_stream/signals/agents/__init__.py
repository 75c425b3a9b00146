"""One opinion each."""
