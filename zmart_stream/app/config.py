"""Settings: `zmart.toml` + profile + environment + recorded overrides + `--set` -> frozen models.

Every problem is reported at once, with the place it came from and the nearest valid name.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from zmart_stream.app.contradictions import Contradiction, contradictions
from zmart_stream.app.settings import Settings, is_loopback
from zmart_stream.domain.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_NESTING = 16
ENV_PREFIX = "ZMART_"
NOT_SETTINGS = frozenset({"ZMART_URL", "ZMART_TOKEN", "ZMART_TOKEN_FILE"})
"""What the asking verbs of the command line read from the environment."""

_EXCHANGE_KEY = re.compile(r"(api|exchange|kucoin)_?(key|secret)|passphrase", re.IGNORECASE)
_PACKAGE = Path(__file__).resolve().parent.parent

Tree = dict[str, Any]
Key = tuple[str, ...]


class Layer(NamedTuple):
    """One source of settings; `lines` tells where in its file a key stands."""

    name: str
    values: Tree
    lines: Mapping[Key, int] = {}

    def place(self, key: Key) -> str:
        """Where this layer says `key`, for messages and `show-config --origin`."""
        while key and key not in self.lines:
            key = key[:-1]
        return f"{self.name}:{self.lines[key]}" if key in self.lines else self.name


class Loaded(NamedTuple):
    """The settings in force, and where each came from."""

    settings: Settings
    layers: tuple[Layer, ...]
    file: Path | None

    def origin(self, key: Key) -> str:
        """The layer that won for `key`."""
        for layer in reversed(self.layers):
            if _has(layer.values, key):
                return layer.place(key)
        return "default"


class Sources(NamedTuple):
    """What a run was asked to read; kept for reloads."""

    file: Path | None = None
    sets: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = {}
    environ: Mapping[str, str] | None = None
    sandbox: bool = False


def load(sources: Sources) -> Loaded:
    """Read and merge every source. Raises ConfigError with all problems."""
    file = find_file(sources.file)
    problems: list[str] = []
    base = [_file_layer(file, problems)] if file else []
    environ = os.environ if sources.environ is None else sources.environ
    late = [
        _text_layer("environment", _environment(environ), problems),
        Layer("recorded override", _expand(sources.overrides)),
        _text_layer("--set", _assignments(sources.sets, problems), problems),
    ]
    profile = merged([*base, *late]).get("profile", "balanced")
    told = [*base, _profile_layer(profile, file, problems)]
    layers = (*told, *(_sandbox_layer([*told, *late]) if sources.sandbox else ()), *late)
    settings = _validate(layers, problems)
    return Loaded(settings, layers, file)


def find_file(asked: Path | None) -> Path | None:
    """The file asked for (must exist), else ./zmart.toml, systemd's configuration directory, the shipped one."""
    if asked is not None:
        if not asked.is_file():
            raise ConfigError(f"{asked}: no such file")
        return asked
    folders = [
        Path.cwd(),
        *map(Path, os.environ.get("CONFIGURATION_DIRECTORY", "").split(":")),
        _PACKAGE.parent,
        _PACKAGE,
    ]
    for folder in folders:
        if (folder / "zmart.toml").is_file():
            return folder / "zmart.toml"
    return None


def merged(layers: Sequence[Layer]) -> Tree:
    """All layers as one tree, later ones winning, tables joined."""
    result: Tree = {}
    for layer in layers:
        _join(result, layer.values)
    return result


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself when it is none (bare strings)."""
    if "\n" in text or "\r" in text:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, KeyError):
        return text


def _join(into: Tree, tree: Mapping[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _join(into[key], value)
        else:
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def _has(tree: Any, key: Key) -> bool:
    for name in key:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True


def _expand(flat: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for dotted, value in flat.items():
        *parents, last = dotted.split(".")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return tree


def _sandbox_layer(others: Sequence[Layer]) -> list[Layer]:
    """On the sandbox callers of this machine may write without a token, unless others than they could ask too.

    It stands above the file, since the shipped one spells out every default.
    """
    api = merged(others).get("api")
    table = api if isinstance(api, dict) else {}
    if table.get("behind_proxy") or not is_loopback(str(table.get("host", "127.0.0.1"))):
        return []
    return [Layer("run --sandbox", {"api": {"open_loopback": True}})]


def _file_layer(path: Path, problems: list[str]) -> Layer:
    values, lines = read_toml(path, problems)
    return Layer(str(path), values, lines)


def read_toml(path: Path, problems: list[str], *, may_be_empty: bool = False) -> tuple[Tree, dict[Key, int]]:
    """Parse a settings file; anything wrong with it becomes a line in `problems`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return {}, {}
    if len(raw) > MAX_BYTES:
        problems.append(f"{path}: {len(raw)} bytes; a settings file has at most {MAX_BYTES}")
        return {}, {}
    if _nesting(raw) > MAX_NESTING:
        problems.append(f"{path}: nested deeper than {MAX_NESTING} levels")
        return {}, {}
    try:
        text = raw.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 text (byte {error.start})")
        return {}, {}
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        problems.append(f"{path}: not TOML: {error}")
        return {}, {}
    if not values and not may_be_empty:
        problems.append(f"{path}: holds no settings; copy the shipped zmart.toml, or leave the file out for defaults")
    return values, dict(_key_lines(text))


def _nesting(raw: bytes) -> int:
    """Upper bound of the nesting a parser would meet: brackets in a row, dots in one key."""
    deepest = max((len(run) for run in re.findall(rb"[\[{]+", raw)), default=0)
    dotted = max((line.count(b".") for line in raw.splitlines() if line.lstrip().startswith(b"[")), default=0)
    return max(deepest, dotted)


def _key_lines(text: str) -> Iterator[tuple[Key, int]]:
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if header := re.match(r"^\[\[?\s*([\w.\-\" ]+?)\s*\]\]?", stripped):
            table = tuple(part.strip(' "') for part in header[1].split("."))
            yield table, number
        elif assignment := re.match(r"^([\w\-.]+|\"[^\"]+\")\s*=", stripped):
            yield (*table, *assignment[1].strip('"').split(".")), number


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name[len(ENV_PREFIX) :].lower().replace("__", "."): value
        for name, value in sorted(environ.items())
        if name.startswith(ENV_PREFIX) and name not in NOT_SETTINGS
    } | ({"storage.url": environ["DATABASE_URL"]} if "DATABASE_URL" in environ else {})


def _assignments(sets: Sequence[str], problems: list[str]) -> dict[str, str]:
    result = {}
    for text in sets:
        key, separator, value = text.partition("=")
        if not separator or not re.fullmatch(r"[a-z][\w.\-]*", key.strip()):
            problems.append(f"--set {text}: write it as section.key=value")
            continue
        result[key.strip()] = value.strip()
    return result


def _text_layer(name: str, flat: Mapping[str, str], problems: list[str]) -> Layer:
    """Texts become TOML values where they are such; a key that wants text keeps it ("007" stays text)."""
    typed: Tree = {}
    for dotted, text in flat.items():
        typed[dotted] = (
            text if wants_text(tuple(dotted.split("."))) and not text.startswith(('"', "'")) else parse_value(text)
        )
    try:
        return Layer(name, _expand(typed))
    except (AttributeError, TypeError):
        problems.append(f"{name}: a key is used both as a table and as a value: {', '.join(sorted(flat))}")
        return Layer(name, {})


def wants_text(key: Key) -> bool:
    """Whether a setting is text, so that what looks like a figure is none."""
    model: Any = Settings
    for name in key[:-1]:
        field = model.model_fields.get(name) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return False
    field = model.model_fields.get(key[-1])
    return field is not None and field.annotation is str


def _profile_layer(profile: Any, file: Path | None, problems: list[str]) -> Layer:
    if not isinstance(profile, str):
        return Layer("profile", {})
    folders = [file.parent / "config" / "profiles", file.parent / "profiles"] if file else []
    folders += [_PACKAGE.parent / "config" / "profiles", _PACKAGE / "profiles"]
    if "/" in profile or profile.endswith(".toml"):
        candidates = [(file.parent if file else Path.cwd()) / profile]
    else:
        candidates = [folder / f"{profile}.toml" for folder in folders]
    for path in candidates:
        if path.is_file():
            values, lines = read_toml(path, problems, may_be_empty=True)
            return Layer(f"profile {path.name}", values, lines)
    problems.append(f"profile: {profile!r} is not one of fast, balanced, slow, nor the path of a file")
    return Layer("profile", {})


def _validate(layers: tuple[Layer, ...], problems: list[str]) -> Settings:
    tree = merged(layers)
    for _ in range(3):  # without its wrong keys a table may still contradict itself: say that too
        try:
            settings = Settings.model_validate(tree)
        except ValidationError as error:
            problems += [_problem(item, layers) for item in error.errors()]
            for item in error.errors():
                _drop(tree, item["loc"])
        except RecursionError:
            problems.append("settings: nested too deeply")
        else:
            problems += told(contradictions(settings), layers)
            if not problems:
                return settings
            break
    raise ConfigError(problems)


def told(found: Sequence[Contradiction], layers: Sequence[Layer]) -> list[str]:
    """Contradictions as problems, each with the place that gives the key, or else another key of it."""
    lines = []
    for key, text, others in found:
        given = next((name for name in (key, *others) if any(_has(layer.values, name) for layer in layers)), key)
        place = next((layer.place(given) for layer in reversed(layers) if _has(layer.values, given)), "settings")
        lines.append(f"{place}: {'.'.join(key)}: {text}")
    return lines


def _drop(tree: Any, key: Sequence[str | int]) -> None:
    for name in key[:-1]:
        if not isinstance(tree, dict) or name not in tree:
            return
        tree = tree[name]
    if isinstance(tree, dict) and key:
        tree.pop(key[-1], None)


def _problem(item: Any, layers: Sequence[Layer]) -> str:
    key: Key = tuple(str(part) for part in item["loc"])
    while key and key[-1] in {"float", "literal['max']", "int", "str"}:
        key = key[:-1]
    place = next((layer.place(key) for layer in reversed(layers) if _has(layer.values, key)), "settings")
    name = ".".join(key) or "settings"
    if item["type"] == "extra_forbidden":
        if _EXCHANGE_KEY.search(name):
            return f"{place}: unknown key {name}: nothing here ever trades; keep the exchange's keys away from it"
        return f"{place}: unknown key {name}{_hint(key)}"
    message = _in_words(item)
    given = item.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{place}: {name}: {message[0].lower()}{message[1:]}{shown[:80]}"


def _in_words(item: Any) -> str:
    """What a value should be, where the library's words leave a reader to guess."""
    given = item.get("input")
    if item["type"] == "list_type" and isinstance(given, str):
        return f'a list is wanted: write ["{given}"]'
    if item["type"] == "string_pattern_mismatch" and item["loc"][-1] == "rest_url":
        return "an address is wanted, such as https://api-futures.kucoin.com"
    message: str = item["msg"].removeprefix("Value error, ")
    return message


def _hint(key: Key) -> str:
    leaves = list(setting_keys())
    tables = dict.fromkeys(known[:depth] for known in leaves for depth in range(1, len(known)))
    every = [".".join(known) for known in (*tables, *leaves)]
    name = ".".join(key)
    close = difflib.get_close_matches(name, every, n=1, cutoff=0.6)
    if not close:
        close = [known for known in every if known.split(".")[-1] == key[-1]][:1]
    if not close:
        tails = {known.split(".")[-1]: known for known in every}
        close = [tails[tail] for tail in difflib.get_close_matches(key[-1], tails, n=1, cutoff=0.6)]
    return f"; did you mean {close[0]}?" if close else ""


def setting_keys(model: type[BaseModel] = Settings, prefix: Key = ()) -> Iterator[Key]:
    """Every leaf key of the settings, in order."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from setting_keys(annotation, (*prefix, name))
        else:
            yield (*prefix, name)
