"""Logging, metrics, health and the service manager."""
