"""The composition root: settings, clock, runner and service."""
