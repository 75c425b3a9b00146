"""What every table of settings is: frozen, strict about names and types; durations may carry a unit."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")


def _seconds(value: object) -> object:
    """Turn "90s", "15m", "24h", "7d" into seconds; numbers are seconds already."""
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError('a duration is a number of seconds or text such as "90s", "15m", "24h", "7d"')
        return float(match[1]) * _UNITS[match[2]]
    return value


Duration = Annotated[float, BeforeValidator(_seconds)]


class Table(BaseModel):
    """A frozen table that refuses unknown keys and does not convert types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)
