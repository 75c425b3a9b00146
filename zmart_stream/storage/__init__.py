"""The database: tables, the one writer, the readers, retention.

At start: `Database(url, settings)`, `await open()`, `await check_venue(database, identity)`,
`await check_book(database)`, `await StorageReader(database).load_state(release)`; then `StorageWriter(...)` and its
`run()` as a task. At the end: `await writer.drain(s)`, `await writer.close()`, `await database.close()`.
"""
