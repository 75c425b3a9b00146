"""Names that were probably meant: of contracts, and of query parameters."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 3
_LOOKED_AT = 64
"""Names compared letter by letter at most: a wrong name must not cost more than a right one."""

_RENAMED = {"BTC": "XBT"}
"""What the venue calls otherwise."""

_ENDINGS = ("", "M", "USDTM", "USDM")


def meant_symbols(asked: str, listed: Iterable[str]) -> list[str]:
    """Listed contracts that somebody who asked for `asked` may have meant, nearest first."""
    known = set(listed)
    wanted = asked.upper()
    renamed = [venue + wanted.removeprefix(usual) for usual, venue in _RENAMED.items() if wanted.startswith(usual)]
    bases = [wanted, *renamed]
    exact = [base + ending for base in bases for ending in _ENDINGS if base + ending in known]
    begins, letters = {base[:2] for base in bases}, {base[:1] for base in bases}
    alike = sorted((name for name in known if name[:1] in letters), key=lambda name: (name[:2] not in begins, name))
    near = [match for base in bases for match in difflib.get_close_matches(base, alike[:_LOOKED_AT], n=MOST)]
    return list(dict.fromkeys([*exact, *near]))[:MOST]


def nearest(asked: str, known: Iterable[str]) -> str | None:
    """The one of a few known names that is most like `asked`."""
    found = difflib.get_close_matches(asked, list(known), n=1, cutoff=0.5)
    return found[0] if found else None
