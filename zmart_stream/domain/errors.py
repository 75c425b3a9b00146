"""Every error raised on purpose, and who must act on it."""

from __future__ import annotations


class ZmartError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(ZmartError):
    """The configuration cannot be used. The operator acts: names file and key, exit 78, no traceback.

    `problems` holds one line each, all of them, not only the first.
    """

    def __init__(self, problems: str | list[str]) -> None:
        """Keep every problem; the message is one line each."""
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class FeedError(ZmartError):
    """A connection or request failed. The feed acts: reconnects with jittered backoff."""


class VenueBusyError(FeedError):
    """The venue refuses for now, whatever is asked (quota, block, outage). The feed waits and asks again."""


class MalformedMessageError(ZmartError):
    """A frame or reply that cannot be believed. The feed counts it by `reason`, samples it to the log, drops it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`reason` is a stable short code, e.g. bad_json, missing_field, not_finite, out_of_range, implausible_time."""
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class InfeasibleError(ZmartError):
    """No weights satisfy the limits. The portfolio keeps its present weights and says so."""


class StorageError(ZmartError):
    """Storage failed. The writer retries to a deadline, degrades on a full disk, gives up on corruption."""


class WrongVenueError(ConfigError):
    """The database belongs to another venue. The operator acts: exit 78."""


class BrokenBookError(ZmartError):
    """The stored book breaks a rule it must keep. The operator acts: `doctor` names the way out."""


class PluginFaultError(ZmartError):
    """A plug-in returned what its contract does not allow. The engine acts: its component is absent, counted."""


class CaptureError(ZmartError):
    """A capture cannot be read or does not fit this release."""


class TornSegmentError(CaptureError):
    """A capture segment was cut before its first message. The reader passes it over."""


class SnapshotError(ZmartError):
    """A snapshot cannot be restored (other format or settings); the caller starts without it."""


class CommandRefusedError(ZmartError):
    """The core refused a command: `code` is stable, e.g. unknown_symbol, already_in_book, book_full, not_eligible."""

    def __init__(self, code: str, detail: str, **facts: object) -> None:
        """Keep the stable code beside the words; `facts` are the figures behind them, JSON-ready, such as `gates`."""
        self.code = code
        self.facts = facts
        super().__init__(detail)


class RequestError(ZmartError):
    """A request that cannot be served as asked. The caller acts: the API answers with the problem named by `code`."""

    def __init__(self, code: str, detail: str, **facts: object) -> None:
        """`code` is one of the API's stable codes; `facts` are further members of the problem, JSON-ready."""
        self.code = code
        self.facts = facts
        super().__init__(detail)


class DaemonUnreachableError(ZmartError):
    """No daemon answers at the URL. The caller acts: exit 69."""


class UsageError(ZmartError):
    """The command line cannot be understood. The caller acts: exit 64."""


class CascadeError(ZmartError):
    """A message class reappeared below itself. The developer acts: a stage answers what it caused."""
