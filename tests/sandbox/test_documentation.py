"""docs/sandbox.md names every option, setting, fault and form there is, with true defaults, and its examples work."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from zmart_stream.cli import entry
from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.fault_kinds import KINDS, Fault, read_fault
from zmart_stream.sandbox.hostile import FORMS
from zmart_stream.sandbox.recordfile import _COLUMNS
from zmart_stream.sandbox.settings import Cadence, Limits, SandboxSettings, Transport, Unknowns

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()
TABLES: dict[str, type[msgspec.Struct]] = {
    "limits": Limits,
    "transport": Transport,
    "cadence": Cadence,
    "unknowns": Unknowns,
}
SETTINGS = {
    **{
        f"{table}.{field.name}": field.default
        for table, kind in TABLES.items()
        for field in msgspec.structs.fields(kind)
    },
    **{field.name: field.default for field in msgspec.structs.fields(SandboxSettings) if field.name not in TABLES},
}


def rows(head: str) -> list[list[str]]:
    """The cells of every table whose first head is `head`."""
    found = []
    for block in re.findall(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE):
        found += [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()]
    return found


def names(cell: str) -> list[str]:
    return re.findall(r"`([\w.\-]+)`", cell)


def options() -> set[str]:
    """The options of the verb `sandbox`."""
    group = typer.main.get_command(entry.app)
    verb = getattr(group, "commands")["sandbox"]  # noqa: B009 - the library's type says nothing of sub-commands
    return {option for parameter in verb.params for option in parameter.opts}


def test_every_option_is_in_the_table_of_options() -> None:
    assert {name for row in rows("option") for name in names(row[0])} == options()


def test_every_setting_is_an_option_or_in_a_table() -> None:
    by_option = {option.removeprefix("--").replace("-", "_") for option in options()}
    in_tables = {names(row[0])[0] for row in rows("setting")}
    assert in_tables == set(SETTINGS) - by_option


@pytest.mark.parametrize("row", rows("setting"), ids=lambda row: row[0])
def test_every_default_is_the_one_in_force(row: list[str]) -> None:
    default = SETTINGS[names(row[0])[0]]
    told = row[1] if isinstance(default, str) else tomllib.loads(f"value = {row[1]}")["value"]
    assert msgspec.to_builtins(default, builtin_types=()) == _tuples(told)


def test_every_fault_and_parameter_is_explained() -> None:
    assert [names(row[0])[0] for row in rows("kind")] == list(KINDS)
    fields = {field.name for field in msgspec.structs.fields(Fault)}
    assert {name for row in rows("parameter") for name in names(row[0])} == fields
    assert {name for row in rows("kind") for name in names(row[2]) if name != "needed"} <= fields


def test_every_kind_that_needs_contracts_says_so() -> None:
    needing = [kind for kind in KINDS if "needs symbols" in problem_of({"kind": kind})]
    assert needing == [names(row[0])[0] for row in rows("kind") if "`symbols`, needed" in row[2]]


def test_every_hostile_form_is_named() -> None:
    listed = re.search(r"^Forms of `hostile`:(.*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)
    assert listed
    assert names(listed[1]) == list(FORMS)


def test_every_column_of_a_record_is_named() -> None:
    assert [name for row in rows("column") for name in names(row[0])] == list(_COLUMNS)


def test_the_scenario_and_the_posted_faults_can_be_read() -> None:
    scenario = re.search(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert scenario
    scripted = tomllib.loads(scenario[1])["fault"]
    posted = [msgspec.json.decode(body) for body in re.findall(r"_sandbox/fault -d '(.*?)'", TEXT)]
    assert len(scripted) == len(posted) == 3
    for values in [*scripted, *posted]:
        read_fault(values)


def problem_of(fault: dict[str, Any]) -> str:
    try:
        read_fault(fault)
    except ConfigError as error:
        return str(error)
    return ""


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
