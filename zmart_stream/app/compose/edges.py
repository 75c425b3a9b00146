"""What each edge is told of the settings, and the HTTP server on its socket."""

from __future__ import annotations

import resource
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from zmart_stream.api.alert_meaning import AlertSettings
from zmart_stream.api.app import Running, create_app, serve, tls_context
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import Services
from zmart_stream.api.limits import Limits, PushLimits
from zmart_stream.api.tokens import TokenFile, TokenRecord
from zmart_stream.app.settings import ApiTable, Settings, is_loopback
from zmart_stream.app.venue import Venue
from zmart_stream.domain.errors import ConfigError
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.ops import logging as logs
from zmart_stream.storage.settings import StorageSettings

log = structlog.get_logger("daemon")


def set_up_logs(settings: Settings) -> None:
    """Configure structured logging."""
    table = settings.log
    logs.configure(level=table.level, form=table.format, repeat_every_s=table.repeat_every, sql=table.sql)


def feed_settings(settings: Settings, venue: Venue) -> FeedSettings:
    """The feed's dials from ours."""
    feed = settings.feed
    return FeedSettings(
        rest_url=venue.rest_url,
        allowed_hosts=venue.allowed_hosts,
        ca_file=venue.ca_file,
        speed=float("inf") if venue.speed == "max" else venue.speed,
        quota_factor=venue.quota_factor,
        depth_in_rank=settings.portfolio.depth_candidates,
        depth_out_rank=settings.portfolio.depth_candidates * 3 // 2,
        min_turnover_usdt=settings.market.min_turnover_usdt,
        window_hours=settings.market.window_hours,
        window_days=settings.market.window_days,
        topics_per_connection=feed.subscriptions_per_connection,
        dials_per_minute=feed.dials_per_minute,
        client_messages_per_10s=feed.client_messages_per_10s,
        quiet_probe_s=feed.receive_deadline / 2,
        quiet_drop_s=feed.receive_deadline / 2,
        life_s=feed.connection_life,
        backoff_most_s=feed.backoff_max,
        contracts_every_s=feed.contracts_poll,
        status_every_s=feed.status_poll,
        warmup_share=feed.rest_share_warm_up,
        steady_share=feed.rest_share,
        request_timeout_s=feed.rest_timeout,
    )


def token_path(table: ApiTable, folder: Path) -> Path:
    """Where the bearer tokens of a daemon with this state folder are."""
    return Path(table.token_file).expanduser() if table.token_file else folder / "tokens.json"


async def open_api(
    table: ApiTable, folder: Path, services: Services, on_tokens: Callable[[Sequence[TokenRecord]], object]
) -> Running:
    """The HTTP server, listening; `on_tokens` hears of the tokens whenever they change. Raises ConfigError."""
    auth = AuthSettings(
        host=table.host,
        open_loopback=table.open_loopback,
        behind_proxy=table.behind_proxy,
        allowed_hosts=tuple(table.allowed_hosts),
        allowed_origins=tuple(table.allowed_origins),
        tradingview_addresses=tuple(table.tradingview_addresses),
    )
    limits = Limits(
        max_connections=table.max_connections,
        max_connections_per_address=table.max_connections_per_address,
        max_body_bytes=table.max_body_kb << 10,
        receive_deadline_s=table.receive_deadline,
        requests_per_minute=table.requests_per_minute,
    )
    tokens = TokenFile(token_path(table, folder), on_tokens)
    if not is_loopback(table.host) and all(record.revoked for record in tokens.records):
        way = "zmart-stream token create --name NAME --scope read"
        raise ConfigError(f"api.host {table.host} is open to others and no token is in force in {tokens.path}: {way}")
    alerts = AlertSettings(strength=table.alert_strength, confidence=table.alert_confidence)
    app = create_app(
        services, auth=auth, tokens=tokens, limits=limits, exchange=table.freqtrade_exchange, alerts=alerts
    )
    tls = tls_context(table.tls_cert, table.tls_key) if table.tls_cert else None
    if table.open_loopback:
        log.warning("api.open_loopback", reason="callers on this machine may operate without a token")
    return await serve(app, host=table.host, port=table.port, tls=tls)


def push_limits(table: ApiTable) -> PushLimits:
    """What listening clients are allowed, from our settings."""
    return PushLimits(
        ring=table.push_ring,
        clients=table.push_clients,
        clients_per_caller=table.push_clients_per_caller,
        deadline_s=table.push_deadline,
        heartbeat_s=table.push_heartbeat,
    )


def debug_facts(database: Callable[[], Awaitable[dict[str, Any]]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    """What `/debug/portfolio` tells besides the book: memory in MB, processor time, rows and bytes."""

    async def facts() -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        units_a_mb = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return {
            "memory_usage": {"peak_mb": round(used.ru_maxrss / units_a_mb, 1)},
            "processor_s": round(used.ru_utime + used.ru_stime, 2),
            "database_stats": await database(),
        }

    return facts


def storage_settings(settings: Settings) -> StorageSettings:
    """The dials of storage from ours."""
    table = settings.storage
    return StorageSettings(
        queue_size=table.queue_size,
        batch_rows=table.batch_rows,
        batch_s=table.batch_time,
        ballast_bytes=table.ballast_mb << 20,
        pool_size=table.pool_size,
        pool_recycle_s=table.pool_recycle,
        snapshots_kept=table.snapshots_kept,
        scores_full_s=table.scores_full,
        scores_hourly_s=table.scores_hourly,
        equity_hourly_s=table.equity_hourly,
        signals_kept_s=table.signals_kept,
        outbox_kept_s=table.outbox_kept,
        window_hours=settings.market.window_hours,
        window_days=settings.market.window_days,
        sql_log=settings.log.sql,
    )
