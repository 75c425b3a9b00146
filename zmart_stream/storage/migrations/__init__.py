"""Alembic's migrations of the storage tables."""
