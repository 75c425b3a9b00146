"""The database: tables, the one writer, the readers, retention."""
