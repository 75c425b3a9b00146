"""The command line as its users have it: a process with options, output and an exit code."""

import asyncio
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from socket import create_server
from typing import NamedTuple

import pytest
import typer

from tests.api.desk import SYMBOLS, Desk, desk
from zmart_stream import __version__
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.models.analytics import ContributionRow, PointRow, SwapRow
from zmart_stream.api.models.portfolio import ChangeRow, HoldingRow
from zmart_stream.api.models.scoring import RankingRow
from zmart_stream.api.models.signals import OpinionRow, SignalRow
from zmart_stream.cli import heads
from zmart_stream.cli.asking import as_csv_text
from zmart_stream.cli.client import Client
from zmart_stream.cli.entry import app, main
from zmart_stream.cli.running import duration_s
from zmart_stream.cli.tables import Column, age, aligned, number, percent, signed
from zmart_stream.domain.errors import UsageError

CHECKOUT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.usefixtures("no_log_of_the_server")

PROGRAM = [sys.executable, "-m", "zmart_stream.cli"]
TIMEOUT_S = 180.0
SENT = ["signal", "send", "--source", "s", "--type", "BREAKOUT", "--strength", "0.8", "--confidence", "0.7"]
SHOWN = ("history", "metrics", "attribution", "equity", "swaps")


def environment(**extra: str) -> dict[str, str]:
    """Ours without what would change the program's answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZMART_")}
    return {**kept, "PYTHONPATH": str(CHECKOUT), **extra}


def start(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        check=False,
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


class Told(NamedTuple):
    """What a call of the entry point gave."""

    returncode: int
    stdout: str
    stderr: str


def call(folder: Path, *arguments: str, **extra: str) -> Told:
    """The entry point within this process, which saves a start."""
    out, err, before, here = io.StringIO(), io.StringIO(), dict(os.environ), Path.cwd()
    try:
        os.environ.clear()
        os.environ.update(environment(**extra))
        os.chdir(folder)
        with redirect_stdout(out), redirect_stderr(err):
            code = main(arguments)
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
    return Told(code, out.getvalue(), err.getvalue())


async def ask(at: Desk, *arguments: str, **extra: str) -> tuple[int, str, str]:
    """The entry point against a running server; what either of them wrote is shown when the test fails."""
    url = f"http://127.0.0.1:{at.port}"
    told = await asyncio.to_thread(lambda: call(CHECKOUT, *arguments, ZMART_URL=url, **extra))
    print(*arguments, told.returncode, told.stdout, told.stderr, sep="\n")
    return told


def verbs(command, path=()):
    """Every verb with its options, as the parser knows them."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from verbs(inner, (*path, name))
    if path and (not hasattr(command, "commands") or command.invoke_without_command):
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
        yield " ".join(path), options - {"-h", "--help"}


def test_help_and_docs_name_the_same_verbs_and_options() -> None:
    text = (CHECKOUT / "docs" / "cli.md").read_text()
    known = dict(verbs(typer.main.get_command(app)))
    for verb, options in known.items():
        assert re.search(rf"`{verb}[ `]", text), f"docs/cli.md does not mention {verb}"
        for option in options:
            assert f"`{option}`" in text, f"docs/cli.md does not mention {verb} {option}"
    every = {option for options in known.values() for option in options} | {"-h", "--help", "--version", "--csv"}
    assert set(re.findall(r"`(--?[a-z][a-z-]*)`", text)) <= every


@pytest.mark.parametrize("verb", sorted(dict(verbs(typer.main.get_command(app)))))
def test_every_verb_explains_itself(verb, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        app(args=[*verb.split(), "--help"])
    assert end.value.code in (0, None)
    shown = capsys.readouterr().out
    options = dict(verbs(typer.main.get_command(app)))[verb]
    assert all(option in shown for option in options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        [],
        ["explain"],
        ["rank", "--limit", "many"],
        ["rank", "--limit", "0"],
        ["rank", "--unknown"],
        ["status", "--url", "ftp://127.0.0.1"],
        ["status", "--url", "127.0.0.1:8420"],
        ["status", "--url", "http://127.0.0.1:port"],
        ["run", "--for", "soon"],
        ["sandbox", "--speed", "fast"],
        ["sandbox", "--port", "70000"],
        ["sandbox", "--set", "nonsense"],
        ["token", "create", "--name", "x"],
        ["token", "create", "--name", "x", "--scope", "admin"],
        ["token", "create", "--name", "machine", "--scope", "read"],
        ["token", "create", "--name", "tv", "--scope", "read", "--scope", "tradingview"],
        ["portfolio", "add"],
        ["portfolio", "replace", "XBTUSDTM"],
        ["portfolio", "equity", "--points", "1"],
        ["portfolio", "equity", "--since", "2026-11-02", "--until", "2026-11-01T00:00:00Z"],
        ["portfolio", "swaps", "--json", "--csv"],
        ["rank", "--csv", "--json"],
        ["pause", "--as", "Zoë"],
        ["signal"],
        ["explain", ""],
        ["signal", "send", "--type", "BREAKOUT"],
        [*SENT, "--data", "[]"],
        [*SENT, "--data", "{"],
        [*SENT, "--strength", "1.5"],
        ["signals", "--limit", "0"],
        ["signals", "show"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64(arguments, tmp_path) -> None:
    found = call(tmp_path, *arguments, ZMART_STATE_DIR=str(tmp_path))
    assert found.returncode == 64, found
    assert found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "verbs"),
    [([], "portfolio signals doctor"), (["db"], "check"), (["token"], "create revoke"), (["signal"], "send")],
    ids=" ".join,
)
def test_a_verb_without_its_verb_names_those_there_are(arguments, verbs, tmp_path) -> None:
    found = call(tmp_path, *arguments)
    assert found.returncode == 64
    for verb in verbs.split():
        assert re.search(rf"^ +{verb} ", found.stderr, re.MULTILINE)


def test_each_exit_code_of_a_real_process(tmp_path) -> None:
    (tmp_path / "wrong.toml").write_text("[nothing]\n")
    with closing(create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        expected = {
            ("--help",): 0,
            ("replay", "."): 1,
            ("nothing",): 64,
            ("sandbox", "--port", str(port), "--contracts", "1"): 1,
            ("run", "--config", "wrong.toml", "--set", f"state_dir={tmp_path / 'state'}"): 78,
        }
        for arguments, code in expected.items():
            found = start(tmp_path, *arguments)
            assert found.returncode == code, found
            assert "Traceback" not in found.stderr
    assert start(tmp_path, "status", "--url", f"http://127.0.0.1:{port}").returncode == 69
    assert not (tmp_path / "state").exists()


def test_no_daemon_is_69(tmp_path) -> None:
    with closing(create_server(("127.0.0.1", 0))) as busy:
        port = busy.getsockname()[1]
    for verb in (["status"], ["rank"], ["portfolio"], ["explain", "XBTUSDTM"], ["reload"]):
        found = call(tmp_path, *verb, "--url", f"http://127.0.0.1:{port}")
        assert found.returncode == 69, found
        assert found.stderr.count("\n") == 1
        assert str(port) in found.stderr


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "the connection was closed without a reply"),
        (b"SSH-2.0-box\r\n", "the reply is not HTTP"),
    ],
)
def test_why_nobody_answers_is_told_in_words(sent, said, tmp_path) -> None:
    async def scenario() -> None:
        async def talk(reader, writer) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            told = await asyncio.to_thread(lambda: call(tmp_path, "status", "--url", url))
            assert told.returncode == 69
            assert said in told.stderr, told.stderr
            assert "Error" not in told.stderr

    asyncio.run(scenario())


def test_something_else_at_the_port_is_69(tmp_path) -> None:
    async def scenario() -> None:
        async def talk(reader, writer) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, desk(tmp_path) as at:
            port = server.sockets[0].getsockname()[1]
            code, _, err = await ask(at, "status", "--url", f"http://127.0.0.1:{port}")
            assert code == 69
            assert "not zmart-stream" in err

    asyncio.run(scenario())


def test_a_refusal_is_1_in_one_line_with_its_code(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            for arguments, said in (
                (["explain", "NOPEUSDTM"], "[unknown_symbol]"),
                (["rank", "--type", "NOPE"], "[unknown_score]"),
                (["reload"], "[unauthorised]"),
                (["status", "--token", "zs_wrong"], "[unauthorised]"),
            ):
                code, _, err = await ask(at, *arguments)
                assert code == 1
                assert said in err
                assert err.count("\n") == 1

    asyncio.run(scenario())


def test_tables_in_a_pipe_are_plain_aligned_lines(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            code, out, _ = await ask(at, "rank", COLUMNS="40")
            assert code == 0
            head, *rows, foot = out.splitlines()
            assert [row.split()[1] for row in rows] == list(SYMBOLS), "one line a row, whatever the width"
            assert all(row.index("USDTM") + 5 <= head.index("score") for row in rows)
            assert rows[2].split()[0] == "–"
            assert "spread_bps" in rows[2]
            assert foot.startswith("3 of 3 contracts")
            assert "\x1b" not in out

    asyncio.run(scenario())


def test_what_each_verb_shows(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(open_loopback=True)) as at:
            _, out, _ = await ask(at, "status")
            assert "warming up 412/700" in out
            assert "1/2 connections up, 8/9 topics" in out
            assert "1 of 10, holds: paused" in out
            _, out, _ = await ask(at, "portfolio")
            assert re.search(r"1  XBTUSDTM +layer1 +25\.00 +74\.10 +2h +\+100\.00 .*pinned", out)
            assert "warming up 412/700: scores are not complete yet" in out
            assert "cash 75.00 %: max_weight 25 leaves 75 % with 1 holding" in out
            _, out, _ = await ask(at, "explain", "xbtusdtm")
            assert re.search(r"volatility +42\.3 +% a year +98\.00 +1\.000 +\+24\.1000", out)
            assert "50 +24.1000 = 74.1000" in out
            assert re.search(r"spread_bps +0\.6 +15 +ok", out)
            assert "smallest change: none (it is pinned)" in out
            _, out, _ = await ask(at, "reload")
            assert "revision 5: scoring.publish_step" in out
            assert "only a restart applies: api.port" in out
            _, out, _ = await ask(at, "pause", "--reason", "maintenance")
            assert "paused" in out
            assert [getattr(command, "note", None) for command in at.counter.taken] == ["maintenance"]

    asyncio.run(scenario())


def test_what_the_verbs_of_the_book_show(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(open_loopback=True)) as at:
            _, out, _ = await ask(at, "portfolio", "history", "--symbol", "xbtusdtm", "--kind", "remove")
            assert re.search(r"2026-11-22T14:10:30.544Z  remove +operator +– +XBTUSDTM .* anna", out)
            assert at.paper.wanted[:2] == ("XBTUSDTM", "remove")
            _, out, _ = await ask(at, "portfolio", "metrics", "--window", "7d")
            assert re.search(r"return +0\.10 %", out)
            assert re.search(r"sharpe +– +3 returns, 20 are needed", out)
            _, out, _ = await ask(at, "portfolio", "attribution")
            assert re.search(r"XBTUSDTM +layer1 +0\.1300 %", out)
            assert re.search(r"beyond the benchmark +0\.2000 %", out)
            _, out, _ = await ask(at, "portfolio", "equity", "--points", "7")
            assert "DOES NOT BALANCE: off by 0.00000005 USDT over 1 steps" in out
            _, out, _ = await ask(at, "portfolio", "swaps")
            assert re.search(r"ETHUSDTM +XBTUSDTM +13\.50 .*\+80\.00 +\+8\.0  yes", out)
            assert "configured 2.00, not estimated: 1 swaps, 10 are needed" in out
            _, out, _ = await ask(at, "portfolio", "summary")
            for said in (
                "100 100.00 of 100 000.00",
                "+200.00, better (it would be 99 900.00)",
                "not shown to be above 0",
            ):
                assert said in out
            assert set(json.loads((await ask(at, "portfolio", "summary", "--json"))[1])) >= {
                "swaps",
                "equity",
                "metrics",
            }

    asyncio.run(scenario())


def test_rows_as_csv(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            for verb in (["rank"], ["portfolio"], *(["portfolio", name] for name in SHOWN)):
                _, out, _ = await ask(at, *verb, "--csv")
                head, *rows = csv.reader(out.splitlines())
                assert rows, verb
                assert all(len(row) == len(head) for row in rows), verb
            assert head[:3] == ["id", "symbol_out", "symbol_in"]

    asyncio.run(scenario())


def test_csv_without_rows_has_the_head_of_one_with_rows(tmp_path, monkeypatch) -> None:
    """In the API's own names."""
    models = {
        heads.RANKINGS: RankingRow, heads.HOLDINGS: HoldingRow, heads.HISTORY: ChangeRow, heads.SWAPS: SwapRow,
        heads.ATTRIBUTION: ContributionRow, heads.EQUITY: PointRow, heads.SIGNALS: SignalRow,
        heads.OPINIONS: OpinionRow,
    }  # fmt: skip
    for head, model in models.items():
        assert set(model.model_fields) <= set(head), model
    nothing = {"rankings": [], "holdings": [], "changes": [], "metrics": {}, "reasons": {}, "contributions": []}
    nothing |= {"points": [], "running": [], "final": [], "signals": [], "signal": {"opinions": []}}
    monkeypatch.setattr(Client, "get", lambda *path, **query: dict(nothing))
    shown = {
        heads.RANKINGS: ["rank"], heads.HOLDINGS: ["portfolio"], heads.HISTORY: ["portfolio", "history"],
        heads.METRICS: ["portfolio", "metrics"], heads.ATTRIBUTION: ["portfolio", "attribution"],
        heads.EQUITY: ["portfolio", "equity"], heads.SWAPS: ["portfolio", "swaps"], heads.SIGNALS: ["signals"],
        heads.OPINIONS: ["signals", "show", "x"],
    }  # fmt: skip
    for head, verb in shown.items():
        assert call(tmp_path, *verb, "--csv") == (0, ",".join(head) + "\n", "")


@pytest.mark.parametrize("verb", [["schema"], ["show-config"], ["--help"], ["portfolio", "history"]], ids=" ".join)
def test_who_has_read_enough_ends_it_well(verb, tmp_path) -> None:
    """As in `zmart-stream ... | head -1`: no trace, exit 0."""

    def unread(url: str) -> subprocess.CompletedProcess[str]:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            return subprocess.run(
                [*PROGRAM, *verb],
                check=False,
                cwd=tmp_path,
                env=environment(ZMART_URL=url),
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                timeout=TIMEOUT_S,
            )
        finally:
            os.close(writer)

    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(open_loopback=True)) as at:
            found = await asyncio.to_thread(unread, f"http://127.0.0.1:{at.port}")
        assert (found.returncode, found.stderr) == (0, "")

    asyncio.run(scenario())


def test_a_cell_never_is_a_formula() -> None:
    shown = as_csv_text([{"note": "=1+1", "gap": -2.5, "numbers": {"a": 1}}])
    assert shown == 'note,gap,numbers\n\'=1+1,-2.5,"{""a"": 1}"\n'


def test_operating_verbs_give_the_command_in_a_name(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(open_loopback=True)) as at:
            for verb in ("add", "remove", "pin", "unpin", "block", "unblock"):
                code, out, _ = await ask(at, "portfolio", verb, "ethusdtm", "--reason", "so", "--as", "anna")
                assert code == 0, verb
                assert out.strip()
            assert (await ask(at, "portfolio", "replace", "XBTUSDTM", "solusdtm"))[0] == 0
            assert (await ask(at, "portfolio", "rebalance"))[0] == 0
            assert (await ask(at, "resume", "--as", "anna"))[0] == 0
            kinds = [type(command).__name__ for command in at.counter.taken]
            assert kinds == [
                "AddHolding", "RemoveHolding", "PinHolding", "UnpinHolding", "BlockSymbol", "UnblockSymbol",
                "ReplaceHolding", "Rebalance", "Resume",
            ]  # fmt: skip
            assert {command.symbol for command in at.counter.taken[:6]} == {"ETHUSDTM"}
            assert [command.who for command in at.counter.taken[5:]] == [
                "anna (loopback)",
                *["loopback"] * 2,
                "anna (loopback)",
            ]
            code, _, err = await ask(at, "portfolio", "add", "XBTUSDTM")
            assert (code, "[already_in_book]" in err) == (1, True)

    asyncio.run(scenario())


def test_the_version(tmp_path) -> None:
    told = call(tmp_path, "--version")
    assert (told.returncode, told.stdout) == (0, f"zmart-stream {__version__}\n")


def test_json_has_every_row_in_its_first_list(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, out, _ = await ask(at, "rank", "--json")
            rows = next(value for value in json.loads(out).values() if isinstance(value, list))
            assert [(row["symbol"], row["rank"]) for row in rows] == list(zip(SYMBOLS, [1, 2, None], strict=True))
            _, out, _ = await ask(at, "portfolio", "--json")
            rows = next(value for value in json.loads(out).values() if isinstance(value, list))
            assert [row["symbol"] for row in rows] == ["XBTUSDTM"]
            _, out, _ = await ask(at, "explain", "XBTUSDTM", "--json")
            assert json.loads(out)["symbol"] == "XBTUSDTM"
            _, out, _ = await ask(at, "status", "--json")
            assert json.loads(out)["warm_up"]["of"] == 700

    asyncio.run(scenario())


def test_tokens_from_option_environment_and_file(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("anna", ["operate"])
            file = tmp_path / "mine"
            file.write_text(f"{token}\n")
            assert (await ask(at, "reload"))[0] == 1
            assert (await ask(at, "reload", "--token", token))[0] == 0
            assert (await ask(at, "reload", ZMART_TOKEN=token))[0] == 0
            assert (await ask(at, "reload", ZMART_TOKEN_FILE=str(file)))[0] == 0
            assert (await ask(at, "reload", "--token-file", str(file), ZMART_TOKEN="zs_wrong"))[0] == 0
            assert (await ask(at, "reload", "--token-file", str(tmp_path / "none")))[0] == 78

    asyncio.run(scenario())


def test_a_table_on_a_terminal_is_drawn(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            ours, theirs = pty.openpty()
            process = await asyncio.create_subprocess_exec(
                *PROGRAM,
                "portfolio",
                stdout=theirs,
                cwd=CHECKOUT,
                env=environment(ZMART_URL=f"http://127.0.0.1:{at.port}", COLUMNS="140", TERM="xterm"),
            )
            os.close(theirs)
            assert await process.wait() == 0
            shown = await asyncio.to_thread(os.read, ours, 65536)
            os.close(ours)
            assert b"XBTUSDTM" in shown
            assert "─".encode() in shown

    asyncio.run(scenario())


WRONG = {
    "unknown key": ("[portfolio]\nmax_symbol = 5\n", ["unknown key portfolio.max_symbol", "portfolio.max_symbols"]),
    "wrong type": ('[portfolio]\nmax_symbols = "ten"\n', ["portfolio.max_symbols", "integer"]),
    "out of range": ("[portfolio]\nmax_symbols = 51\n", ["portfolio.max_symbols", "50"]),
    "contradiction": ("[portfolio]\nentry_score = 30\nexit_score = 40\n", ["exit_score 40 is above entry_score 30"]),
    "no toml": ("portfolio = {", ["not TOML"]),
    "empty": ("", ["holds no settings"]),
    "nonsense": ("x" * 1_000_000, ["1000000 bytes"]),
    "a table's name": ("[portfolo]\nmax_symbols = 5\n", ["did you mean portfolio?"]),
    "text for a list": ('[api]\nallowed_hosts = "box"\n', ['write ["box"]']),
    "no address": ('[venue]\nrest_url = "kucoin"\n', ["an address is wanted"]),
    "missing files": (
        '[venue]\nca_file = "none.pem"\n[sandbox]\nmarket = "none"\n[storage]\nurl = "mysql://me:hush@db/z"\n',
        ["wrong.toml:2: venue.ca_file: there is no file none.pem", "sandbox.market", "storage.url: write it as sqlite"],
    ),
    "several": (
        '[portfolio]\nmax_symbols = 0\n[api]\nport = "x"\n[scoring]\nprobe = 1\n',
        ["portfolio.max_symbols", "api.port", "unknown key scoring.probe"],
    ),
    "contradictions": (
        "[signals]\nquorum = 9\n[portfolio]\nmin_weight = 30.0\n",
        ["wrong.toml:2: signals.quorum: 9", "wrong.toml:4: portfolio.min_weight: 30 is above max_weight 25"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_78_with_every_problem_and_its_place(name, tmp_path) -> None:
    content, said = WRONG[name]
    (tmp_path / "wrong.toml").write_text(content)
    found = call(tmp_path, "check-config", "wrong.toml")
    assert found.returncode == 78, found
    assert all(text in found.stderr for text in said), found.stderr
    assert "wrong.toml" in found.stderr
    assert "Traceback" not in found.stderr
    assert "hush" not in found.stderr
    assert found.stdout == ""


def test_options_that_plug_ins_refuse_are_78(tmp_path) -> None:
    (tmp_path / "wrong.toml").write_text(
        "[signals.detectors.breakout]\noptions = {days = 50}\n[scoring.risk]\nparts = {volatilty = 0.5}\n"
        '[[signals.agents.custom]]\nname = "mine"\npath = "nowhere:Mine"\n'
    )
    found = call(tmp_path, "check-config", "wrong.toml")
    assert found.returncode == 78, found
    for text in ("days is not a whole number from 15 to 39", "did you mean 'volatility'?", "nowhere"):
        assert text in found.stderr


def test_good_settings_are_0(tmp_path) -> None:
    found = call(tmp_path, "check-config", str(CHECKOUT / "zmart.toml"))
    assert (found.returncode, found.stderr) == (0, "")
    assert "good" in found.stdout
    assert call(tmp_path, "check-config", "missing.toml").returncode == 78


def test_show_config_tells_where_each_value_came_from(tmp_path) -> None:
    (tmp_path / "zmart.toml").write_text(
        'profile = "fast"\n\n[portfolio]\nmax_symbols = 7\n[storage]\nurl = "postgresql+asyncpg://me:secret@db/z"\n'
    )
    arguments = ["show-config", "--origin", "--json", "--set", "market.window_hours=300"]
    found = call(tmp_path, *arguments, ZMART_API__PORT="9000", ZMART_URL="http://elsewhere", ZMART_TOKEN="zs_x")
    assert found.returncode == 0, found.stderr
    shown = json.loads(found.stdout)
    file = tmp_path / "zmart.toml"
    assert shown["portfolio.max_symbols"] == {"value": 7, "origin": f"{file}:4"}
    assert shown["api.port"] == {"value": 9000, "origin": "environment"}
    assert shown["market.window_hours"] == {"value": 300, "origin": "--set"}
    assert shown["market.bar"]["origin"].startswith("profile fast.toml:")
    assert shown["api.host"] == {"value": "127.0.0.1", "origin": "default"}
    assert "secret" not in found.stdout
    plain = call(tmp_path, "show-config", "--origin").stdout.splitlines()
    assert any(re.fullmatch(r"portfolio\.max_symbols = 7 +# .*zmart\.toml:4", line) for line in plain)


def test_schema_is_json_schema_of_every_table(tmp_path) -> None:
    schema = json.loads(call(tmp_path, "schema").stdout)
    assert {"portfolio", "scoring", "api", "venue"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("scope", "sets", "address"),
    [
        ("tradingview", [], "http://127.0.0.1:8420/api/symbol-mgmt/integrations/tradingview/(zs_[\\w-]{43})"),
        (
            "tradingview",
            ["api.behind_proxy=true", 'api.allowed_hosts=["localhost", "box.example"]'],
            "https://box.example/api/symbol-mgmt/integrations/tradingview/(zs_[\\w-]{43})",
        ),
        ("freqtrade", ["api.port=9000"], r"ws://127.0.0.1:9000/api/v1/message/ws\?token=(zs_[\w-]{43})"),
    ],
)
def test_a_secret_for_an_address_is_printed_as_the_address_once(scope, sets, address, tmp_path) -> None:
    where = {"ZMART_STATE_DIR": str(tmp_path / "state")}
    told = [word for one in sets for word in ("--set", one)]
    made = call(tmp_path, "token", "create", "--name", "there", "--scope", scope, *told, **where)
    assert made.returncode == 0, made.stderr
    found = re.fullmatch(address, made.stdout.strip())
    assert found, made.stdout
    assert found[1] not in made.stderr
    assert found[1] not in (tmp_path / "state" / "tokens.json").read_text()
    assert ("443" in made.stderr) == (scope == "tradingview")


def test_tokens_are_made_listed_and_revoked(tmp_path) -> None:
    where = {"ZMART_STATE_DIR": str(tmp_path / "state")}
    made = call(tmp_path, "token", "create", "--name", "anna", "--scope", "read", "--scope", "signal", **where)
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert re.fullmatch(r"zs_[\w-]{43}", token)
    file = tmp_path / "state" / "tokens.json"
    assert token not in file.read_text()
    assert token not in made.stderr
    [listed] = json.loads(call(tmp_path, "token", "list", "--json", **where).stdout)["tokens"]
    assert (listed["name"], listed["scopes"], listed["revoked"]) == ("anna", ["read", "signal"], None)
    assert "sha256" not in listed
    assert call(tmp_path, "token", "revoke", listed["id"], **where).returncode == 0
    assert json.loads(call(tmp_path, "token", "list", "--json", **where).stdout)["tokens"][0]["revoked"]
    unknown = call(tmp_path, "token", "revoke", "nobody", **where)
    assert (unknown.returncode, "there is none" in unknown.stderr) == (1, True)
    file.chmod(0o644)
    refused = call(tmp_path, "token", "list", **where)
    assert refused.returncode == 78
    assert "chmod 600" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sandbox_serves_until_it_is_told_to_stop(number, tmp_path) -> None:
    arguments = ["sandbox", "--port", "0", "--contracts", "3", "--seed", "5", "--set", "unknowns.kline_cap=200"]
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "listening on http://127.0.0.1:" in line:
                break
        assert int(lines[-1].rpartition(":")[2]) > 0
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 0
    assert any("3 contracts" in line for line in lines)


def test_wrong_sandbox_settings_are_78(tmp_path) -> None:
    for arguments in (["--contracts", "0"], ["--market", "missing"], ["--set", "unknowns.nothing=1"], ["--start", "x"]):
        found = call(tmp_path, "sandbox", *arguments)
        assert found.returncode == 78, found
        assert "Traceback" not in found.stderr


def test_a_capture_that_is_none_is_1(tmp_path) -> None:
    found = call(tmp_path, "replay", str(tmp_path))
    assert found.returncode == 1, found
    assert "no capture segment" in found.stderr
    assert "Traceback" not in found.stderr


def test_asking_loads_nothing_heavy(tmp_path) -> None:
    script = (
        "import sys; from zmart_stream.cli import main; code = main(['status', '--url', 'http://127.0.0.1:9']); "
        "print(code, sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = [
        "numpy",
        "scipy",
        "pandas",
        "pyarrow",
        "sqlalchemy",
        "aiohttp",
        "websockets",
        "asyncio",
        "rich",
    ]
    found = subprocess.run(
        [sys.executable, "-c", script, *heavy],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "69 []"


def test_durations() -> None:
    assert [duration_s(text, "--for") for text in ("30s", "1.5m", "2h", "500ms", "7")] == [30.0, 90.0, 7200.0, 0.5, 7.0]
    for text in ("", "s", "-1s", "1e3s", "1 s", "٣s"):
        with pytest.raises(UsageError):
            duration_s(text, "--for")


def test_figures_and_columns() -> None:
    lines = aligned([Column("name"), Column("value", right=True)], [["a", "1.00"], ["longer", "–"]])
    assert lines == ["name    value", "a        1.00", "longer      –"]
    assert [age(seconds) for seconds in (0.42, 59.0, 300.0, 7300.0, 200_000.0, None)] == [
        "0.4s",
        "59s",
        "5m",
        "2h",
        "2d",
        "–",
    ]
    assert [number(value) for value in (1234567.891, None, True, -0.001)] == ["1 234 567.89", "–", "–", "0.00"]
    assert [signed(value) for value in (1.5, -1.5, 0.001, None)] == ["+1.50", "-1.50", "0.00", "–"]
    assert [percent(value) for value in (0.0125, -0.000001, None)] == ["1.25 %", "0.00 %", "–"]
