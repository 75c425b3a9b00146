"""The book: who is in it, at which rank and weight, and why."""
