"""docs/logging.md lists every event that the program logs, with its level and its keys, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "zmart_stream"
CATALOGUE = CHECKOUT / "docs" / "logging.md"
LEVELS = {"debug", "info", "warning", "error"}
ROW = re.compile(r"^\| `([a-z_]+\.[a-z_]+)` \| (\w+) \| ([^|]*) \|[^|]+\|[^|]+\|$", re.MULTILINE)

# keys that a call adds by `**`: where the dictionary is written down
SPREAD = {
    "system.facts": ("app/compose/build.py", "facts"),
    "result": ("app/reload.py", "_take"),
    "facts": ("api/access.py", "_facts"),
}


class Event(NamedTuple):
    """What is logged, or documented, under one name."""

    levels: frozenset[str]
    keys: frozenset[str]


@cache
def documented() -> dict[str, Event]:
    rows = ROW.findall(CATALOGUE.read_text())
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names)), "an event stands twice in the catalogue"
    return {name: Event(frozenset({level}), frozenset(re.findall(r"`([\w*]+)`", keys))) for name, level, keys in rows}


@cache
def logged() -> dict[str, Event]:
    """Every event in the package: the union of levels and keys over all its calls."""
    levels: dict[str, set[str]] = {}
    keys: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, level, found in calls(path):
            levels.setdefault(name, set()).add(level)
            keys.setdefault(name, set()).update(found)
    return {name: Event(frozenset(levels[name]), frozenset(keys[name])) for name in levels}


def calls(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    tree = ast.parse(path.read_text())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            level, keys = logs(node.func)
            if level is None or function.name == "limited":  # the feed's own wrapper, followed to its callers
                continue
            names = texts(node.args[0], function)
            assert names, f"{path.relative_to(CHECKOUT)}:{node.lineno}: the event's name is not written down"
            for name in names:
                yield name, level, keys | {key for keyword in node.keywords for key in spelled(keyword)}


def logs(call: ast.Attribute) -> tuple[str | None, set[str]]:
    """The level a call logs at, None if it logs nothing, and the keys that its kind adds by itself."""
    receiver = ast.unparse(call.value).rpartition(".")[2].lstrip("_")
    if receiver == "log" and call.attr in LEVELS:
        return call.attr, set()
    if receiver == "log" and call.attr == "exception":
        return "error", {"exception"}
    if call.attr == "limited" and receiver in ("report", "self"):
        return "warning", {"reason", "count"}
    return None, set()


def texts(name: ast.expr, function: ast.AST) -> list[str]:
    """The texts an expression may be: a constant, a choice of two, or a local name that is one of these."""
    if isinstance(name, ast.Constant):
        return [str(name.value)]
    if isinstance(name, ast.IfExp):
        return [*texts(name.body, function), *texts(name.orelse, function)]
    if isinstance(name, ast.Name):
        given = [node.value for node in ast.walk(function) if isinstance(node, ast.Assign) and names_it(node, name.id)]
        return [text for value in given for text in texts(value, function)]
    return []


def names_it(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def spelled(keyword: ast.keyword) -> set[str]:
    """The keys a keyword argument becomes; a dictionary with computed keys becomes its prefix and a star."""
    if keyword.arg is not None:
        return {"exception" if keyword.arg == "exc_info" else keyword.arg}
    if isinstance(keyword.value, ast.DictComp) and isinstance(keyword.value.key, ast.JoinedStr):
        return {f"{ast.literal_eval(keyword.value.key.values[0])}*"}
    files, place = SPREAD[ast.unparse(keyword.value)]
    found = [
        node.value if isinstance(node, ast.keyword) else last_return(node)
        for file in sorted(PACKAGE.glob(files))
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.keyword) and node.arg == place)
        or (isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name == place)
    ]
    return {ast.literal_eval(key) for value in found if isinstance(value, ast.Dict) for key in value.keys if key}


def last_return(function: ast.AsyncFunctionDef | ast.FunctionDef) -> ast.expr | None:
    return next(node.value for node in reversed(function.body) if isinstance(node, ast.Return))


def test_the_walk_finds_the_events_at_all() -> None:
    found = logged()
    assert {"daemon.ready", "book.changed", "feed.dial_failed", "feed.malformed", "api.fault"} <= set(found)
    assert found["daemon.ready"].keys >= {"port", "venue"}


def test_every_event_is_documented_and_every_documented_event_exists() -> None:
    assert set(documented()) == set(logged())


@pytest.mark.parametrize("name", sorted(logged()))
def test_level_and_keys_are_as_documented(name: str) -> None:
    assert documented()[name] == logged()[name]
