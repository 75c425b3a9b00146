"""Where a daemon keeps its state, and that it is the only one there."""

from __future__ import annotations

import fcntl
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from zmart_stream.domain.errors import ConfigError


def state_folder(asked: str, *, sandbox: bool) -> Path:
    """The folder asked for, systemd's, or a per-user one; a sandbox without one gets a new folder each time.

    It is made when missing, readable by its owner only. Raises ConfigError when that fails.
    """
    folder = Path(asked).expanduser() if asked else _default(sandbox)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".probe").touch()
        (folder / ".probe").unlink()
    except OSError as error:
        raise ConfigError(f"state_dir: {folder} cannot be written: {error.strerror}") from None
    return folder.resolve()


def lock(folder: Path) -> IO[str]:
    """Hold the folder for this process; the lock ends with it. Raises ConfigError naming the holder."""
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ConfigError(f"state_dir: {folder} is in use by the daemon with process id {holder}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _default(sandbox: bool) -> Path:
    user = _user_state() / "zmart-stream"
    if sandbox:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        return user / "sandbox" / stamp
    systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(systemd) if systemd else user


def _user_state() -> Path:
    if stated := os.environ.get("XDG_STATE_HOME"):
        return Path(stated)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / ".local" / "state"
