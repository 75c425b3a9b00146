"""Starts that would leave a door open, or hold what an attacker wants: refused with exit 78, and no secret is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from zmart_stream.api.tokens import TokenFile
from zmart_stream.app.settings import is_loopback
from zmart_stream.cli import main

CANARY = "canary-9b1f63c0d2"
EXIT_CONFIG = 78


def start(folder: Path, *sets: str) -> int:
    """Run the daemon, with a venue at which nobody answers; its exit code."""
    given = (f"state_dir={folder / 'state'}", "venue.rest_url=http://127.0.0.1:9", "api.port=0", *sets)
    return main(["run", "--for", "1s", *(part for one in given for part in ("--set", one))])


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("api.host=0.0.0.0",), "set tls_cert and tls_key, or behind_proxy"),
        (("api.host=::",), "set tls_cert and tls_key, or behind_proxy"),
        (("api.host=127.0.0.1.evil.example",), "set tls_cert and tls_key, or behind_proxy"),
        (("api.host=0.0.0.0", "api.behind_proxy=true"), "no token is in force"),
        (("api.host=0.0.0.0", "api.behind_proxy=true", "api.open_loopback=true"), "open_loopback needs a loopback"),
        (("api.host=0.0.0.0", "api.behind_proxy=true", "api.debug=true"), "debug needs a loopback"),
        (("api.behind_proxy=true", "api.open_loopback=true"), "no proxy in front"),
        (("api.host=0.0.0.0", "api.tls_cert=a.pem"), "belong together"),
    ],
)
def test_a_door_that_stands_open_is_not_opened(
    sets: tuple[str, ...], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path, *sets) == EXIT_CONFIG
    told = capfd.readouterr().err
    assert said in told
    assert "daemon.ready" not in told


def test_a_revoked_token_opens_no_door_and_one_in_force_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens = TokenFile(tmp_path / "state" / "tokens.json")
    tokens.create("anna", ["read"])
    tokens.revoke("anna")
    sets = ("api.host=0.0.0.0", "api.behind_proxy=true")
    assert start(tmp_path, *sets) == EXIT_CONFIG
    assert "no token is in force" in capfd.readouterr().err
    tokens.create("anna", ["read"])
    assert start(tmp_path, *sets) == 0
    assert "daemon.ready" in capfd.readouterr().err


def test_tokens_that_others_may_read_stop_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens = TokenFile(tmp_path / "state" / "tokens.json")
    tokens.create("anna", ["read"])
    tokens.path.chmod(0o640)
    assert start(tmp_path) == EXIT_CONFIG
    assert "mode 0640 lets others read it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("how", "key"),
    [
        ("file", "venue.api_key"),
        ("file", "venue.passphrase"),
        ("file", "kucoin.apikey"),
        ("file", "api_key"),
        ("environment", "venue.api_secret"),
        ("set", "venue.api_key"),
    ],
)
def test_keys_of_the_exchange_are_refused_and_never_told(
    how: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    table, _, name = key.rpartition(".")
    arguments = ["check-config"]
    if how == "file":
        (tmp_path / "zmart.toml").write_text((f"[{table}]\n" if table else "") + f'{name} = "{CANARY}"\n')
        arguments.append(str(tmp_path / "zmart.toml"))
    elif how == "environment":
        monkeypatch.setenv(f"ZMART_{key.replace('.', '__').upper()}", CANARY)
    code = start(tmp_path, f"{key}={CANARY}") if how == "set" else main(arguments)
    told = capfd.readouterr()
    assert code == EXIT_CONFIG
    assert "keep the exchange's keys away" in told.err or table == "kucoin", told.err
    assert CANARY not in told.err + told.out
    assert not (tmp_path / "state").exists()


def test_only_addresses_of_this_machine_are_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["127.evil.example", "0.0.0.0", "::", "10.0.0.1", "", "localhost.evil.example"]))  # noqa: S104 - judged, not bound
