"""The feed's dials, as one frozen value; durations are real seconds unless a name says otherwise."""

from __future__ import annotations

import msgspec

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MOST_SLACK_S = 1800.0
"""Half an hour bar; reached by very fast sandboxes, which have no time to lose on repairs."""


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit the feed keeps. The published limits that they stay below are in the comments."""

    rest_url: str = "https://api-futures.kucoin.com"
    allowed_hosts: tuple[str, ...] = ("kucoin.com",)  # wss on these hosts and below them; ws too on a loopback host
    ca_file: str | None = None  # PEM file trusted besides the system's store
    speed: float = 1.0  # market seconds per real second; inf: as fast as the venue sends
    quota_factor: float = 1.0  # multiplies the client's budgets; a sandbox grants more

    # what is followed
    depth_in_rank: int = 40
    depth_out_rank: int = 60
    depth_out_after_s: float = 300.0
    min_turnover_usdt: float = 2e6  # below it a contract gets no REST depth
    window_hours: int = 240
    window_days: int = 60
    funding_hours: int = 72

    # sockets
    topics_per_connection: int = 100  # published: 100, 300 or none, the sources disagree
    symbols_per_frame: int = 100  # published: 100
    dials_per_minute: int = 24  # published: 30
    client_messages_per_10s: int = 50  # published: 100 a connection
    dial_timeout_s: float = 10.0
    welcome_timeout_s: float = 8.0
    ack_timeout_s: float = 5.0
    ack_tries: int = 3
    ping_every_s: float = 17.0  # the token reply's pingInterval wins if it is shorter; never above 18
    pong_timeout_s: float = 10.0  # likewise for pingTimeout
    quiet_probe_s: float = 5.0  # nothing received for so long: ask with a ping
    quiet_drop_s: float = 4.0  # and for so long after that ping: the line is dead
    life_s: float = 23 * 3600.0  # planned overlap before the venue's cut at 24 h
    overlap_s: float = 2.0  # both connections stay subscribed for so long
    backoff_first_s: float = 0.5
    backoff_most_s: float = 60.0
    max_frame_bytes: int = 1 << 20
    resubscribe_every_s: float = 60.0  # a silent topic is subscribed again at most so often

    # REST
    pool_weight: int = 2000  # published: 2000 per 30 s; the reply headers win
    pool_window_s: float = 30.0
    warmup_share: float = 0.8
    steady_share: float = 0.5
    reserve_share: float = 0.03  # of the pool, kept for polls and tokens
    parallel_requests: int = 16
    request_timeout_s: float = 10.0
    max_reply_bytes: int = 32 << 20
    history_tries: int = 3
    contracts_every_s: float = 10.0
    status_every_s: float = 10.0
    depth_rotation_s: float = 120.0
    settlement_wait_s: float = 60.0  # after a settlement that no topic told, before REST is asked

    # belief
    max_ahead_s: float = 60.0  # venue time may lead ours by so much (times speed)
    max_behind_s: float = 86400.0
    clock_slack_s: float = 2.0  # our clock is moved at once only if the venue's is further ahead (times speed)
    sequence_restart_s: float = 10.0  # a lower sequence so much later (venue time, times speed) is a new numbering

    @property
    def pace(self) -> float:
        """How much further venue time may run in one real second, at least 1."""
        return max(1.0, self.speed)

    @property
    def ahead_ns(self) -> int:
        """How far a venue time may lie after market time, in ns."""
        return int(min(self.max_ahead_s * self.pace, 30 * 86400.0) * 1e9)

    @property
    def behind_ns(self) -> int:
        """How far a venue time may lie before market time, in ns."""
        return int(min(self.max_behind_s * max(1.0, self.pace / 60), 366 * 86400.0) * 1e9)

    @property
    def slack_ns(self) -> int:
        """How far our market time may be from the venue's without anybody's noticing, in ns."""
        return int(min(self.clock_slack_s * self.pace, MOST_SLACK_S) * 1e9)

    @property
    def restart_ns(self) -> int:
        """After how much venue time a lower sequence counts as a new numbering, in ns."""
        return int(min(self.sequence_restart_s * self.pace, 86400.0) * 1e9)
