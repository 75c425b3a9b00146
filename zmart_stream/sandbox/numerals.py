"""How the venue writes numbers: Java doubles in REST, plain decimals with trailing zeros dropped on the socket."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

_PLAIN = (str, int, bool, type(None))


def java_number(value: float) -> str:
    """`value` as `Double.toString` writes it; integer values lose or keep `.0`, by the value itself.

    Plain from 1e-3 up to 1e7, `d.dddE±n` outside.
    """
    if value == 0:
        return "0.0"
    if 1e7 <= value < 1e16:  # turnover: most of what is not plain
        whole, _, fraction = repr(value).partition(".")
        rest = whole[1:].rstrip("0") if fraction == "0" else whole[1:] + fraction
        return f"{whole[0]}.{rest or '0'}E{len(whole) - 1}"
    if 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        return text[:-2] if text.endswith(".0") and int(value) % 2 else text
    return f"{'-' if value < 0 else ''}{_scientific(repr(abs(value)))}"


def _scientific(text: str) -> str:
    """A positive double's shortest text as `d.dddE±n`."""
    digits, _, power = text.partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    if power:
        return f"{whole}.{fraction or '0'}E{int(power)}"
    if whole != "0":
        digits = (whole + fraction).rstrip("0")
        return f"{digits[0]}.{digits[1:] or '0'}E{len(whole) - 1}"
    digits = fraction.lstrip("0")
    return f"{digits[0]}.{digits[1:] or '0'}E{len(digits) - len(fraction) - 1}"


@lru_cache(maxsize=32_768)
def _java_raw(value: float) -> msgspec.Raw:
    """Java's text, ready for `msgspec.json`; most figures of a contract row never change."""
    return msgspec.Raw(java_number(value).encode())


def java_values(value: Any) -> Any:
    """`value` with every float inside replaced by its Java text, ready for `msgspec.json`."""
    kind = type(value)
    if kind is float:
        return _java_raw(value)
    if kind is dict:
        return {key: item if type(item) in _PLAIN else java_values(item) for key, item in value.items()}
    if kind is list:
        return [java_values(item) for item in value]
    return value


def java_column(values: npt.NDArray[np.float64]) -> list[Any]:
    """A column of floats for `msgspec.json`, converted only where Java's text differs from the plain one."""
    size = np.abs(values)
    if bool(np.all((size >= 1e-3) & (size < 1e7))):
        return list(values.tolist())
    return [msgspec.Raw(java_number(value).encode()) for value in values.tolist()]


def decimals_of(tick: float) -> int:
    """Decimals a price on this tick can have: 0.1 → 1, 1e-8 → 8, 5 → 0."""
    exponent = Decimal(repr(tick)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


def price_text(price: float, decimals: int) -> bytes:
    """A price as plain decimal text without trailing zeros or exponent."""
    text = b"%.*f" % (decimals, price)
    return text.rstrip(b"0").rstrip(b".") if decimals else text
