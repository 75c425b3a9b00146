"""The service manager's notification protocol (sd_notify(3)): readiness, status, watchdog, reload."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends state to `$NOTIFY_SOCKET`; does nothing where there is none."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read the socket's address and the watchdog's period from the environment."""
        environ = os.environ if environ is None else environ
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_s = self._watchdog(environ)

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is done."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self, status: str) -> None:
        """Feed the watchdog, with a fresh status line."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins; the time stamp must come in the same message (Type=notify-reload)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Shutdown begins."""
        self._send("STOPPING=1")

    @staticmethod
    def _watchdog(environ: Mapping[str, str]) -> float | None:
        """Seconds between two signs of life (half the limit), None without a watchdog for this process."""
        period = environ.get("WATCHDOG_USEC", "")
        process = environ.get("WATCHDOG_PID", "")
        if not period.isdecimal() or (process.isdecimal() and int(process) not in (0, os.getpid())):
            return None
        return int(period) / 2e6

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            try:
                notify.sendto(text.encode(), address)
            except OSError:
                return  # a service manager that is gone must not take the daemon with it
