"""Bodies and replies on the configuration and the scoring algorithms."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from zmart_stream.api.models import Body, Document, NoteBody, Reply, Row

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[A-Za-z0-9_-]{1,64}){0,4}", re.ASCII)


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError("a key is written section.name")
    return text


Key = Annotated[str, AfterValidator(_key), Field(json_schema_extra={"pattern": f"^{_KEY.pattern}$"})]
Value = bool | int | float | str | list[str] | None


_EITHER: dict[str, Any] = {
    "oneOf": [
        {
            "required": ["config_key"],
            "properties": {"config_key": {"type": "string"}, "values": {"maxProperties": 0}},
        },
        {
            "required": ["values"],
            "properties": {
                "config_key": {"type": "null"},
                "values": {"minProperties": 1, "propertyNames": {"pattern": f"^{_KEY.pattern}$"}},
            },
        },
    ]
}


class ConfigBody(NoteBody):
    """One setting as `config_key` and `config_value`, or several as `values`; null forgets what was recorded."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    config_key: Key | None = None
    config_value: Value = None
    values: dict[Key, Value] = Field({}, max_length=50)

    @model_validator(mode="after")
    def _something(self) -> ConfigBody:
        if (self.config_key is None) == (not self.values):
            raise ValueError("name one setting as config_key and config_value, or several in values")
        return self

    @property
    def wanted(self) -> dict[str, Any]:
        """Values by key."""
        return dict(self.values) if self.config_key is None else {self.config_key: self.config_value}


class SettingRow(Row):
    """One setting: its value in force, where it came from, whether it is recorded here, whether a change waits."""

    key: str
    value: Any
    origin: str
    recorded: bool
    needs_restart: bool


class ConfigReply(Reply):
    """Every setting in force, and other names under which some are known."""

    revision: int
    settings: list[SettingRow]
    aliases: dict[str, str]


class ConfigChangedReply(Reply):
    """What was recorded over the file: keys that changed, and the revision in force."""

    recorded: list[str]
    applied: list[str]
    revision: int


class AlgorithmRow(Row):
    """One component of the composite and the weights of its parts."""

    algorithm_name: str
    algorithm_type: str
    weight: float
    parameters: Document
    is_active: bool


class AlgorithmsReply(Reply):
    """All scoring algorithms."""

    algorithms: list[AlgorithmRow]


class Parameters(Body):
    """Weights of an algorithm's parts by name; those not named stay."""

    weights: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({}, max_length=50)


class AlgorithmBody(NoteBody):
    """What is to change: the weight in the composite, the parts' weights, or both."""

    weight: Annotated[float, Field(ge=0, le=1)] | None = None
    parameters: Parameters | None = None
