"""Changes of the book as clients read them."""

from __future__ import annotations

from typing import Any

import msgspec

from zmart_stream.api.calls import iso
from zmart_stream.domain.portfolio import PortfolioChange


def told(change: PortfolioChange) -> dict[str, Any]:
    """A change with times in ISO 8601 and nothing that only the machine needs."""
    shown: dict[str, Any] = msgspec.to_builtins(change)
    shown["at"] = iso(shown.pop("ts"))
    shown.pop("type", None)
    for book in (shown["before"], shown["after"]):
        for holding in book["holdings"]:
            holding["since"] = iso(holding["since"])
    return shown
