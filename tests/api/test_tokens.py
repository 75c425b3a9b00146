"""The token file: digests only, private, and no token lost between two writers."""

import json
import os
import re
import stat
import threading

import pytest

from zmart_stream.api.tokens import TokenFile, digest
from zmart_stream.domain.errors import ConfigError, RequestError, UsageError


def test_a_token_is_256_random_bits_and_only_its_digest_is_kept(tmp_path) -> None:
    tokens = TokenFile(tmp_path / "deep" / "tokens.json")
    record, token = tokens.create("anna", ["read", "operate"])
    assert re.fullmatch(r"zs_[\w-]{43}", token)
    kept = (tmp_path / "deep" / "tokens.json").read_text()
    assert token not in kept
    assert token[3:] not in kept
    [entry] = json.loads(kept)
    assert set(entry) == {"id", "name", "scopes", "sha256", "created", "revoked"}
    assert entry["sha256"] == digest(token)
    assert tokens.find(token) == record
    assert tokens.find(token[:-1]) is None
    assert tokens.find("") is None


def test_the_file_is_private_whatever_the_umask(tmp_path) -> None:
    before = os.umask(0)
    try:
        TokenFile(tmp_path / "tokens.json").create("anna", ["read"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.json"], "nothing is left beside it"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_file_that_others_may_read_is_refused(mode, tmp_path) -> None:
    path = tmp_path / "tokens.json"
    TokenFile(path).create("anna", ["read"])
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600"):
        TokenFile(path)


def test_a_credential_of_the_service_manager_is_trusted(tmp_path, monkeypatch) -> None:
    path = tmp_path / "tokens"
    TokenFile(path).create("anna", ["read"])
    path.chmod(0o440)  # how an access list for the service's user shows
    with pytest.raises(ConfigError):
        TokenFile(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert [record.name for record in TokenFile(path).records] == ["anna"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b'[{"id": "1"}]', b"[1]", b"\xff", b"[" * 100_000, b'[{"scopes": ["admin"]}]', b" " * (2 << 20)],
    ids=["empty", "cut", "object", "fields", "number", "bytes", "deep", "scope", "huge"],
)
def test_a_broken_file_is_a_configuration_error(content, tmp_path) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        TokenFile(path)


def test_a_folder_in_its_place_is_refused(tmp_path) -> None:
    (tmp_path / "tokens.json").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="not a file"):
        TokenFile(tmp_path / "tokens.json")


def test_revoked_tokens_stay_listed_and_their_names_are_free_again(tmp_path) -> None:
    tokens = TokenFile(tmp_path / "tokens.json")
    first, token = tokens.create("bot", ["signal"])
    with pytest.raises(UsageError, match="named 'bot'"):
        tokens.create("bot", ["read"])
    assert tokens.revoke("bot").id == first.id
    assert tokens.find(token) is None
    with pytest.raises(RequestError, match="in force"):
        tokens.revoke(first.id)
    tokens.create("bot", ["read"])
    assert [(record.name, record.revoked is None) for record in tokens.records] == [("bot", False), ("bot", True)]


@pytest.mark.parametrize("name", ["", "  ", "a" * 65, "a\nb", "\x1b[2J"])
def test_a_name_is_short_and_printable(name, tmp_path) -> None:
    with pytest.raises(UsageError, match="printable"):
        TokenFile(tmp_path / "tokens.json").create(name, ["read"])


@pytest.mark.parametrize("scopes", [["read", "freqtrade"], ["tradingview", "operate"], ["tradingview", "freqtrade"]])
def test_a_secret_for_an_address_has_one_scope(scopes, tmp_path) -> None:
    tokens = TokenFile(tmp_path / "tokens.json")
    with pytest.raises(UsageError, match="stands alone"):
        tokens.create("bot", scopes)
    assert not tokens.records


def test_writers_at_the_same_time_lose_nothing(tmp_path) -> None:
    path = tmp_path / "tokens.json"

    def work(worker: int) -> None:
        for number in range(10):
            TokenFile(path).create(f"{worker}-{number}", ["read"])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.name for record in TokenFile(path).records}) == 40
