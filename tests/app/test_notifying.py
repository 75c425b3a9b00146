"""Settings of notifications: secrets come from files and variables, stay out of sight, and all faults come together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.notify.receiver import NEW, OLD, SECRETS
from zmart_stream.app.compose import notifying
from zmart_stream.app.compose.notifying import notify_problems, notify_settings
from zmart_stream.app.config import Sources, load
from zmart_stream.app.configuration import masked
from zmart_stream.app.settings_notify import NotifyTable
from zmart_stream.domain.errors import ConfigError

BOT = {"name": "bot", "url": "https://hooks.example.com/very/secret", "secret_env": "BOT"}
ME = {"name": "me", "url_env": "ME"}


def table(**facts: Any) -> NotifyTable:
    return NotifyTable.model_validate(facts)


def refused(*, environ: dict[str, str] | None = None, **facts: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        notify_settings(table(**facts), environ or {})
    return str(caught.value)


def test_secrets_come_from_a_file_with_lines_or_from_a_variable_with_words(tmp_path: Path) -> None:
    file = tmp_path / "bot.secrets"
    file.write_text(f"# the new one first\n{SECRETS[1]}\n\n{SECRETS[0]}\n")
    file.chmod(0o600)
    from_file = {"name": "bot", "url": BOT["url"], "secret_file": str(file), "types": ["hold"], "symbols": ["XBTUSDTM"]}
    settings = notify_settings(table(webhooks=[from_file, BOT | {"name": "two"}]), {"BOT": " ".join(SECRETS)})
    assert [webhook.keys for webhook in settings.webhooks] == [(NEW, OLD), (OLD, NEW)]
    assert settings.webhooks[0].rules.types == {"hold"}
    file.chmod(0o644)
    assert "mode 0644 lets others read it" in refused(webhooks=[from_file])


@pytest.mark.parametrize(
    ("facts", "environ", "word"),
    [
        ({"webhooks": [BOT]}, {}, "environment variable BOT holds nothing"),
        ({"webhooks": [BOT]}, {"BOT": "hunter2"}, "a secret begins with whsec_"),
        ({"webhooks": [BOT | {"secret_env": "", "secret_file": "/nowhere/x"}]}, {}, "/nowhere/x: No such file"),
        ({"webhooks": [BOT | {"url": "http://hooks.example.com/"}]}, {"BOT": SECRETS[0]}, "plain http"),
        ({"webhooks": [BOT | {"url": "https://10.0.0.1/"}]}, {"BOT": SECRETS[0]}, "notify.allowed_networks"),
        ({"webhooks": [BOT | {"url": "http://127.0.0.1:1/"}]}, {"BOT": SECRETS[0]}, "notify.allow_loopback"),
        ({"channels": [ME]}, {"ME": "json://a json://b"}, "one address is wanted, there are 2"),
    ],
)
def test_each_fault_names_its_endpoint_and_no_secret(facts: dict[str, Any], environ: dict[str, str], word: str) -> None:
    told = refused(environ=environ, **facts)
    assert word in told
    assert told.startswith(("notify.webhooks.bot: ", "notify.channels.me: "))
    assert "hunter2" not in told


def test_all_faults_come_together_and_without_the_extra_a_channel_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "find_spec", lambda _: None)
    told = refused(webhooks=[BOT], channels=[ME], environ={"ME": "json://a"})
    assert len(told.splitlines()) == 2
    assert "notify.channels.me: channels need Apprise: pip install 'zmart-stream[notify]'" in told


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_check_config_knows_what_apprise_does_not() -> None:
    assert notify_problems(table(channels=[ME]), {"ME": "json://127.0.0.1/x"}) == []
    (problem,) = notify_problems(table(channels=[ME]), {"ME": "nonsense://hunter2"})
    assert problem.startswith("notify.channels.me: that is no Apprise address")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[[notify.webhooks]]\nname = "bot"\nurl = "https://x.example"\n', "one of secret_file and secret_env"),
        ('[[notify.channels]]\nname = "me"\nurl_env = "ZMART_ME"\n', "begin with ZMART_"),
        ('[[notify.channels]]\nname = "me"\nurl_env = "ME"\ntypes = ["score_update"]\n', "types"),
        ('[[notify.channels]]\nname = "me"\nurl_env = "ME"\nsymbols = ["btc"]\n', "capital letters"),
        ('[notify]\nallowed_networks = ["10.0.0.1/8"]\n', "has host bits set"),
        ('[[notify.channels]]\nname = "a"\nurl_env = "A"\n' * 2, "the same name"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "zmart.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=word):
        load(Sources(file=file, environ={}))


def test_the_path_of_a_webhook_is_not_shown() -> None:
    (webhook,) = table(webhooks=[BOT]).webhooks
    shown = masked("notify.webhooks", [webhook.model_dump(mode="json")])
    assert shown[0]["url"] == "https://hooks.example.com/***"
    assert shown[0]["secret_env"] == "BOT"
