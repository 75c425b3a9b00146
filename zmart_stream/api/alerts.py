"""Alerts as they arrive: JSON, KEY=VALUE or a few words, whatever the content type says; secrets are dropped here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec
from pydantic import ValidationError

from zmart_stream.api.intake import MOST_MEMBERS, decoded, rule_of
from zmart_stream.api.models.alerts import AlertBody
from zmart_stream.domain.errors import RequestError
from zmart_stream.signals.validation import shown

SECRET_KEYS = frozenset(
    "passphrase secret token api_token key password passwd pass auth authorization api_key apikey".split()
)
"""Keys by which other receivers ask for a secret. Ours stands elsewhere: what is there is never looked at or kept."""

OCTOBOT_KEYS = ("EXCHANGE", "SYMBOL", "SIGNAL")
"""What a text for OctoBot must have."""

OCTOBOT_SIGNALS = ("BUY", "SELL", "CANCEL")
DEEPEST = 16
FORMS = 'a JSON object, KEY=VALUE by line or ";", or words such as: buy BTCUSDT strength=70'

IN_STRATEGY = {
    "order_action": "action",
    "order_id": "order_id",
    "market_position": "market_position",
    "prev_market_position": "prev_market_position",
}
"""What messages tell in an object `strategy` that has a key for each placeholder, and where it counts."""

_PLACEHOLDER = re.compile(r"\{\{[^{}]{0,64}\}\}")
_BEGINS_WITH_PAIR = re.compile(r"[;\s]*[A-Za-z][A-Za-z0-9_.-]*\s*=", re.ASCII)
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_. -]{0,63}", re.ASCII)


def read_alert(raw: bytes) -> AlertBody:
    """An alert in any of its forms. Raises RequestError bad_alert or bad_json."""
    text = _text(raw)
    if text.startswith("{") and not text.startswith("{{"):
        return _alert(_members(text))
    if _BEGINS_WITH_PAIR.match(text):
        return _alert(_pairs(re.split(r"[\n;]", text)))
    return _alert(_words(text))


def read_octobot(raw: bytes) -> AlertBody:
    """A text for OctoBot: KEY=VALUE by line or `;`. Raises RequestError bad_alert."""
    pairs = _pairs(re.split(r"[\n;]", _text(raw)))
    given = {key.upper(): value for key, value in pairs if value}
    for key in OCTOBOT_KEYS:
        if key not in given:
            refuse(key, None, f"a text for OctoBot has {', '.join(OCTOBOT_KEYS)}")
    if given["SIGNAL"].upper() not in OCTOBOT_SIGNALS:
        refuse("SIGNAL", given["SIGNAL"], f"one of {', '.join(OCTOBOT_SIGNALS)}")
    return _alert(pairs)


def refuse(field: str, value: object, rule: str) -> NoReturn:
    """Raises RequestError bad_alert, naming field, value and rule."""
    told = None if value is None else shown(value)
    said = f"{field}: {rule}" if told is None else f"{field}: {told!r}: {rule}"
    raise RequestError("bad_alert", said, problems=[{"field": field, "value": told, "rule": rule}])


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        refuse("body", None, "UTF-8 text")
    if not text:
        refuse("body", None, FORMS)
    return text


def _members(text: str) -> list[tuple[str, Any]]:
    """The members of a JSON object. One left unfilled may break it, so that is looked at first."""
    try:
        found = decoded(text.encode())
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        if match := _PLACEHOLDER.search(text):
            _unfilled("body", match[0])
        raise RequestError("bad_json", str(error)[:200] or "not JSON") from None
    assert isinstance(found, dict)  # noqa: S101 - it begins with a brace
    return list(found.items())


def _pairs(lines: Iterable[str]) -> list[tuple[str, Any]]:
    found = []
    for line in filter(None, map(str.strip, lines)):
        key, equals, value = line.partition("=")
        if not equals or not _KEY.fullmatch(key.strip()):
            refuse("body", line, FORMS)
        found.append((key.strip(), value.strip()))
    return found


def _words(text: str) -> list[tuple[str, Any]]:
    """`buy BTCUSDT strength=70`: action, contract, and pairs without spaces."""
    words = text.split()
    if len(words) < 2 or any("=" not in word for word in words[2:]):
        refuse("body", text, FORMS)
    return [("action", words[0]), ("symbol", words[1]), *_pairs(words[2:])]


def _alert(members: list[tuple[str, Any]]) -> AlertBody:
    if len(members) > MOST_MEMBERS:
        refuse("body", None, f"at most {MOST_MEMBERS} keys")
    written: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for key, value in members:
        low = key.strip().lower()
        if low in written:
            refuse(key[:64], None, "each key once")
        written[low] = key
        if low not in SECRET_KEYS and value != "":  # a placeholder may be filled with nothing
            fields[low] = _clean(key, value)
    if isinstance(inside := fields.get("strategy"), dict):
        for key, meaning in IN_STRATEGY.items():
            if meaning not in fields and inside.get(key, "") != "":
                fields[meaning], written[meaning] = inside[key], f"strategy.{key}"
    try:
        alert = AlertBody.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "body"
        value = fields.get(key)
        refuse(written.get(key, key), value if isinstance(value, str | int | float) else None, rule_of(first))
    alert._written.update(written)
    return alert


def _clean(key: str, value: Any, depth: int = 1) -> Any:
    """A value without secrets at any depth, in which every placeholder was filled. Raises RequestError."""
    if depth > DEEPEST:
        refuse(key[:64], None, f"at most {DEEPEST} levels deep")
    if isinstance(value, dict):
        kept = [(name, below) for name, below in value.items() if name.strip().lower() not in SECRET_KEYS]
        return {name: _clean(name, below, depth + 1) for name, below in kept}
    if isinstance(value, list):
        return [_clean(key, below, depth + 1) for below in value]
    if isinstance(value, str) and (match := _PLACEHOLDER.search(value)):
        _unfilled(key, match[0])
    return value


def _unfilled(key: str, placeholder: str) -> NoReturn:
    refuse(key[:64], placeholder, "a placeholder that TradingView did not fill; this kind of alert does not have it")
