"""A real service manager in a box: namespaces of its own over a throw-away layer above this machine's files.

Nothing in the box can touch what is outside: its mounts, processes, network and host name are its own, and what it
writes goes to memory. It needs root, systemd, `unshare` and a cgroup v2 hierarchy; `why_not` tells what is missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from tests.service.harness import CHECKOUT, until

MANAGER = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "pivot_root", "mount", "setsid", "systemctl")
PYTHON, PACKAGES, HOME = "/opt/python", "/opt/packages", "/opt/zmart-stream"

_BOOT = r"""
set -eu
echo $BASHPID > "$GROUP/cgroup.procs"   # before the new cgroup namespace, whose root this becomes
exec setsid unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private bash -euc '
  mount -t tmpfs -o size=1g,mode=755 box "$LAYER"
  mkdir "$LAYER/upper" "$LAYER/work" "$LAYER/root"
  ROOT=$LAYER/root
  mount -t overlay overlay -o lowerdir=/,upperdir="$LAYER/upper",workdir="$LAYER/work" "$ROOT"
  cp -a "$FILES/." "$ROOT/"
  mkdir -p "$ROOT/opt/python" "$ROOT/opt/packages"
  mount --bind "$BASE" "$ROOT/opt/python"
  mount --bind "$SITE" "$ROOT/opt/packages"
  for timer in apt-daily apt-daily-upgrade man-db e2scrub_all dpkg-db-backup fstrim logrotate; do
    ln -sf /dev/null "$ROOT/etc/systemd/system/$timer.timer"
  done
  rm -rf "$ROOT/var/log/journal"
  : > "$ROOT/etc/machine-id"
  mount -t proc -o nosuid,nodev,noexec proc "$ROOT/proc"
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$ROOT/sys"
  mount -t cgroup2 cgroup2 "$ROOT/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,size=4m tmpfs "$ROOT/dev"
  for device in null zero full random urandom tty; do
    touch "$ROOT/dev/$device"
    mount --bind "/dev/$device" "$ROOT/dev/$device"
  done
  mkdir "$ROOT/dev/shm" "$ROOT/dev/pts" "$ROOT/dev/mqueue"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$ROOT/dev/pts"
  ln -s pts/ptmx "$ROOT/dev/ptmx"
  ln -s /proc/self/fd "$ROOT/dev/fd"
  for folder in dev/shm run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$ROOT/$folder"; done
  chmod 755 "$ROOT/run"
  mkdir -p "$ROOT/.old"
  cd "$ROOT"
  pivot_root . .old
  umount -l /.old
  mount --make-rshared /                # credentials and private mounts of services need it
  hostname box
  ip link set lo up || true
  exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=box.target --log-target=journal
'
"""
_TARGET = "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n"
_PROGRAM = f"""#!/bin/sh
export LD_LIBRARY_PATH={PYTHON}/lib PYTHONPATH={HOME}:{PACKAGES}
exec {PYTHON}/bin/python3 -m zmart_stream.cli "$@"
"""
_VENUE = f"""[Service]
Environment=LD_LIBRARY_PATH={PYTHON}/lib PYTHONPATH={HOME}:{PACKAGES}
ExecStart={PYTHON}/bin/python3 -m zmart_stream.sandbox '{{"port": 9100, "contracts": 12, "speed": 60, \
  "quota_factor": 10}}'
"""


def why_not() -> str:
    """What is missing for a box; empty if one can be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a box needs Linux and root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or not MANAGER.exists():
        return f"a box needs {', '.join(missing) or 'systemd'}"
    if _hierarchy() is None:
        return "a box needs a cgroup v2 hierarchy"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True, timeout=30, check=False
    )
    return "" if tried.returncode == 0 else "namespaces cannot be made here"


def _hierarchy() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Box:
    """One booted box with this checkout in /opt, its unit, and a venue of its own as a service."""

    def __init__(self, folder: Path, unit: str, settings: str) -> None:
        """`unit` and `settings` are the texts of the service and of /etc/zmart/zmart.toml."""
        self._folder = folder
        hierarchy = _hierarchy()
        assert hierarchy is not None
        self._group = hierarchy / f"zmart-box-{os.getpid()}"
        self._group.mkdir(exist_ok=True)
        files = folder / "files"
        self._lay_out(files, unit, settings)
        layer = folder / "layer"
        layer.mkdir()
        names = {
            "GROUP": str(self._group),
            "LAYER": str(layer),
            "FILES": str(files),
            "BASE": sys.base_prefix,
            "SITE": sysconfig.get_path("purelib"),
        }
        self._log = folder / "boot.log"
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                ["bash", "-c", _BOOT], env={**os.environ, **names}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._inner = until("the box", self._first_process, beat=self._check)
        until(
            "its manager",
            lambda: Path("/proc", str(self._inner), "root", "run", "systemd", "private").exists(),
            beat=self._check,
        )

    @staticmethod
    def _lay_out(files: Path, unit: str, settings: str) -> None:
        units = files / "etc" / "systemd" / "system"
        units.mkdir(parents=True)
        (units / "box.target").write_text(_TARGET)
        (units / "zmart-stream.service").write_text(unit)
        (units / "venue.service").write_text(_VENUE)
        (files / "etc" / "zmart").mkdir()
        (files / "etc" / "zmart" / "zmart.toml").write_text(settings)
        home = files / HOME[1:]
        shutil.copytree(CHECKOUT / "zmart_stream", home / "zmart_stream", ignore=shutil.ignore_patterns("__pycache__"))
        program = home / ".venv" / "bin" / "zmart-stream"
        program.parent.mkdir(parents=True)
        program.write_text(_PROGRAM)
        program.chmod(0o755)

    def _check(self) -> None:
        assert self._outer.poll() is None, f"the box did not come up:\n{self._log.read_text()}"

    def _first_process(self) -> int:
        """The manager's id out here: the only child of `unshare`."""
        tasks = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        for child in tasks:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def run(self, *command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        inside = ["nsenter", "-t", str(self._inner), "-m", "-p", "-n", "-u", "-i", "-C", "--wd=/", "--"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER="]
        return subprocess.run([*inside, *clean, *command], capture_output=True, text=True, timeout=seconds, check=False)

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", "zmart-stream", "--value", "-p", name).stdout.strip()

    def journal(self) -> str:
        """What the service wrote."""
        return self.run("journalctl", "-u", "zmart-stream", "-o", "cat", "--no-pager").stdout

    def write(self, path: str, text: str) -> None:
        """A file inside."""
        Path(f"/proc/{self._inner}/root{path}").write_text(text)

    def close(self) -> None:
        """Power off; nothing stays."""
        if self._outer.poll() is None:
            try:
                os.kill(self._inner, signal.SIGRTMIN + 4)
                self._outer.wait(20.0)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                self._outer.kill()
                self._outer.wait(20.0)
        for _ in range(50):
            try:
                for group in sorted(self._group.rglob("*"), key=lambda path: -len(path.parts)):
                    if group.is_dir():
                        group.rmdir()
                self._group.rmdir()
            except OSError:
                time.sleep(0.1)
            else:
                return
