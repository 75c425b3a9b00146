"""How the loop is shared between a crowd that listens and everything else: a little at a time, then a rest."""

from __future__ import annotations

SLICE_S = 0.001
"""What clients take of the loop at a time; the last one is served to its end."""

LEAST_GAP_S = 0.02
"""From one round of all clients to the next, so that what happens together is told together."""

ROUND_S = 1.0
"""A round is spread over no more than this, and so is what an event waits for, while LEAST_SHARE allows it.

Longer rounds save little: what a client gets then outgrows the system's buffers, and each write waits for its reader.
"""

MOST_SHARE = 10.0
LEAST_SHARE = 3.0
"""The loop is left alone for so many times of what a slice took: whatever a crowd wants, it gets a quarter."""

_GUESS_S = 1e-4
_LEARNING = 0.1


class Pace:
    """What serving a client costs, learned as it goes on, and when to go on. Times are real, in seconds."""

    def __init__(self) -> None:
        """Nobody has been served yet."""
        self._each_s = _GUESS_S
        self._planned = 0.0

    def rest_s(self, began: float, ended: float, served: int, of: int) -> float:
        """How long to leave the loop alone after a slice that served so many, in a round of `of` clients.

        A slice that began later than planned has left the loop to others meanwhile: that counts as rest of it.
        """
        took = ended - began
        if served:
            self._each_s += _LEARNING * (took / served - self._each_s)
        round_s = of * self._each_s
        share = ROUND_S / round_s - 1.0 if round_s > 0.0 else MOST_SHARE
        share = min(max(share, LEAST_SHARE), MOST_SHARE)
        planned = max(self._planned, began - took * share) + took * (1.0 + share)
        self._planned = max(planned, ended + took * LEAST_SHARE)
        return self._planned - ended
