"""From bars and ticks to component scores, composites and ranks."""
