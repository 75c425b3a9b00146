"""Under the venue's true rules the client stays inside its share of the REST pool, and is never refused."""

from __future__ import annotations

import time
from pathlib import Path

from tests.service.harness import FULL_BOOK, STEP_S, Daemon, Sandbox, ending

POOL = 240
WINDOW_S = 5.0
DEAREST = 10  # weight of the dearest single call


def test_a_small_pool_is_shared_out_and_never_overdrawn(tmp_path: Path) -> None:
    venue = Sandbox(
        tmp_path,
        contracts=60,
        speed=60,
        quota_factor=1,
        limits={"pool_weight": POOL, "pool_window_s": WINDOW_S},
    )
    daemon = Daemon(tmp_path, venue=venue, sets=FULL_BOOK)
    with ending(venue, daemon):
        daemon.until("the end of the warm-up", lambda: daemon.status()["warm_up"]["ended"])
        used = max(venue.state()["weight_most"].values())
        print(f"warm-up: at most {used} of {POOL}")
        assert used <= 0.8 * POOL + DEAREST
        assert used >= 0.4 * POOL, "the warm-up leaves unused what it may use"

        time.sleep(WINDOW_S)  # a window that the warm-up began
        # and is shown until somebody asks for something after its end
        daemon.until("another window", lambda: max(venue.state()["weight_used"].values()) <= 0.5 * POOL + DEAREST)
        later: list[int] = []
        until = time.monotonic() + 2 * WINDOW_S
        while time.monotonic() < until:
            later.append(max(venue.state()["weight_used"].values(), default=0))
            daemon.check_alive()
            time.sleep(STEP_S)
        print(f"afterwards: at most {max(later)} of {POOL}")
        assert max(later) <= 0.5 * POOL + DEAREST

        rest = daemon.status()["feed"]["rest"]
        assert rest["limit"] == POOL
        assert "limited" not in rest["counts"], "the venue said 429"
        assert daemon.stop() == 0
