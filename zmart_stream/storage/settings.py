"""The dials of storage; `app/compose.py` fills them from `[storage]`."""

from __future__ import annotations

import msgspec

MIB = 1 << 20


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes, times and ages. Durations are real seconds; ages of what is stored are market seconds."""

    queue_size: int = 20_000  # rows waiting for the writer
    batch_rows: int = 200
    batch_s: float = 0.1
    pause_s: float = 0.02  # between two commits, unless a batch is full: what comes in a stream shares its commits
    ballast_bytes: int = 32 * MIB  # 0: none
    pool_size: int = 5
    pool_recycle_s: float = 3600.0
    snapshots_kept: int = 3
    scores_full_s: float = 7 * 86400.0
    scores_hourly_s: float = 90 * 86400.0
    equity_hourly_s: float = 365 * 86400.0
    signals_kept_s: float = 365 * 86400.0
    outbox_kept_s: float = 7 * 86400.0  # real seconds after an entry is done
    window_hours: int = 240  # hour bars worth keeping; the margin comes on top
    window_days: int = 60
    bars_margin: int = 24  # bars kept beyond the windows
    prune_rows: int = 2_000  # rows a retention run deletes of one table at most
    retry_s: float = 0.25  # first pause after a failed commit; doubles up to retry_max_s
    retry_max_s: float = 2.0
    give_up_s: float = 300.0  # a fault other than a full disk that lasts longer ends the process
    read_timeout_s: float = 5.0  # a read transaction is never older
    check_bytes: int = 256 * MIB  # a SQLite file up to this size is checked whole at start
    sql_log: bool = False
