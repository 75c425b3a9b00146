"""The settings of notifications: webhooks, channels, and what each of them wants to hear."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

from pydantic import Field, model_validator

from zmart_stream.app.settings_table import Duration, Table

Kind = Literal["portfolio_change", "signal", "decision", "feed_state", "hold", "config", "plugin"]
_NAME = r"^[a-z][a-z0-9_-]{0,31}$"
_VARIABLE = r"^([A-Z][A-Z0-9_]*)?$"
_SYMBOL_LENGTHS = range(2, 25)


class EndpointTable(Table):
    """What every endpoint has: a name, and what it wants to hear."""

    name: str = Field(pattern=_NAME, description="Its name, in logs, in `status` and for `notify`.")
    types: list[Kind] = Field([], description="Event types it wants; empty: all.")
    symbols: list[str] = Field([], description="Contracts it wants; empty: all. What is about none comes all the same.")
    importance: Literal["low", "normal", "high"] = Field("normal", description="The least that it wants.")

    @model_validator(mode="after")
    def _symbols_are_such(self) -> EndpointTable:
        for symbol in self.symbols:
            if not (symbol.isascii() and symbol.isalnum() and symbol.upper() == symbol) or (
                len(symbol) not in _SYMBOL_LENGTHS
            ):
                raise ValueError(f"symbols: {symbol!r} is not 2 to 24 capital letters and digits")
        return self


class WebhookTable(EndpointTable):
    """An address that takes signed messages (Standard Webhooks)."""

    url: str = Field(min_length=8, max_length=2000, description="Where to post; https.")
    secret_file: str = Field("", description="File with secrets (whsec_...), one a line, mode 0600; all of them sign.")
    secret_env: str = Field("", pattern=_VARIABLE, description="Environment variable with secrets, space-separated.")
    most: int = Field(60, ge=1, le=10_000, description="Messages in one window; the rest of it becomes one digest.")
    window: Duration = Field(60.0, ge=1, le=86400, description="That window, real time.")

    @model_validator(mode="after")
    def _one_source(self) -> WebhookTable:
        _check_one(self.secret_file, self.secret_env, "secret_file", "secret_env")
        return self


class ChannelTable(EndpointTable):
    """A way to a person, through Apprise: mail, chat, phone."""

    url_file: str = Field("", description="File with the Apprise address, mode 0600.")
    url_env: str = Field("", pattern=_VARIABLE, description="Environment variable with the Apprise address.")
    most: int = Field(5, ge=1, le=10_000, description="Messages in one window; the rest of it becomes one digest.")
    window: Duration = Field(600.0, ge=1, le=86400, description="That window, real time.")

    @model_validator(mode="after")
    def _one_source(self) -> ChannelTable:
        _check_one(self.url_file, self.url_env, "url_file", "url_env")
        return self


class NotifyTable(Table):
    """Notifications: signed webhooks and people's channels, from a durable outbox."""

    allow_loopback: bool = Field(False, description="Let webhooks reach this machine, also by plain http.")
    allowed_networks: list[str] = Field(
        [], description='Networks that are not public and may be reached all the same, such as "10.1.0.0/16".'
    )
    timeout: Duration = Field(5.0, gt=0, le=60, description="Real time of one attempt at a webhook.")
    channel_timeout: Duration = Field(30.0, gt=0, le=300, description="Real time of one attempt at a channel.")
    attempts: int = Field(
        30, ge=1, le=1000, description="Attempts after which a message is given up; it can be resent."
    )
    backoff_max: Duration = Field(
        3600.0, ge=1, le=86400, description="Longest wait between two attempts; full jitter, doubling from 1 s."
    )
    webhooks: list[WebhookTable] = Field([], description="Webhooks, as [[notify.webhooks]] tables.")
    channels: list[ChannelTable] = Field([], description="Channels, as [[notify.channels]] tables.")

    @model_validator(mode="after")
    def _is_consistent(self) -> NotifyTable:
        names = [endpoint.name for endpoint in (*self.webhooks, *self.channels)]
        if len(set(names)) != len(names):
            raise ValueError("two webhooks or channels have the same name")
        for network in self.allowed_networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"allowed_networks: {error}") from None
        return self


def _check_one(file: str, variable: str, first: str, second: str) -> None:
    if bool(file) == bool(variable):
        raise ValueError(f"one of {first} and {second} is wanted")
    if variable.startswith("ZMART_"):
        raise ValueError(f"{second}: variables that begin with ZMART_ are settings; take another name")
