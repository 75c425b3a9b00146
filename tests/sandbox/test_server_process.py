"""The venue as a process: start-up lines, TLS, the official client, the end of its parent."""

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.sandbox.venue_client import START
from zmart_stream.sandbox.tls import make_authority

CHECKOUT = Path(__file__).resolve().parents[2]
BASE = {"start": START, "contracts": 4, "speed": 240}


@contextmanager
def _process(settings: dict[str, Any], *flags: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "zmart_stream.sandbox", msgspec.json.encode({**BASE, **settings}).decode(), *flags]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _lines(process: subprocess.Popen[str]) -> list[str]:
    """The start-up lines, up to the one that names the port."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("listening on "):
            return lines
    raise AssertionError(lines)


def test_start_up_lines_a_free_port_and_a_clean_stop() -> None:
    with _process({"quota_factor": 10}) as process:
        *notes, last = _lines(process)
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:[1-9]\d+", last)
        assert notes == [
            "sandbox venue: market synthetic, seed 7, 4 contracts",
            "venue time starts at 2026-11-20T10:07:30+00:00, speed 240.0, quota factor 10",
        ]
        process.send_signal(signal.SIGTERM)
        assert process.wait(180) == 0


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("{", "sandbox settings"),
        ('{"prot":1}', "prot"),
        ('{"market":"/nowhere"}', "/nowhere"),
        ('{"speed":0}', "speed"),
    ],
)
def test_wrong_settings_end_with_78_and_one_report(argument: str, text: str) -> None:
    command = [sys.executable, "-m", "zmart_stream.sandbox", argument]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 78
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told_without_a_traceback() -> None:
    with _process({}) as process:
        port = int(_lines(process)[-1].rsplit(":", 1)[1])
        with _process({"port": port}) as second:
            _, errors = second.communicate(timeout=180)
            assert second.returncode == 1
            assert str(port) in errors
            assert "Traceback" not in errors


def test_the_venue_ends_with_its_parent_even_when_that_is_killed() -> None:
    starter = textwrap.dedent(
        """
        import subprocess, sys, time
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for line in child.stdout:
            print(line.strip(), flush=True)
            if line.startswith("listening"):
                print(child.pid, flush=True)
        """
    )
    settings = msgspec.json.encode(BASE).decode()
    venue = [sys.executable, "-m", "zmart_stream.sandbox", settings, "--end-with-parent"]
    parent = subprocess.Popen([sys.executable, "-c", starter, *venue], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    _lines(parent)
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == ""  # the pipe's last writer, the venue, is gone
    parent.stdout.close()


def test_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    with _process({"tls": True, "ca_dir": str(tmp_path / "ca")}) as process:
        lines = _lines(process)
        ca_file = next(line for line in lines if line.startswith("ca file: ")).removeprefix("ca file: ")
        url = lines[-1].removeprefix("listening on ")
        assert url.startswith("https://")
        assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca.pem", "server.key", "server.pem"]

        async def run() -> None:
            context = ssl.create_default_context(cafile=ca_file)
            async with aiohttp.ClientSession() as http:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await http.get(f"{url}/api/v1/status")
                async with http.post(f"{url}/api/v1/bullet-public", ssl=context) as reply:
                    data = (await reply.json())["data"]
                server = data["instanceServers"][0]
                assert (server["endpoint"], server["encrypt"]) == (url.replace("https", "wss") + "/", True)
                async with http.ws_connect(server["endpoint"], params={"token": data["token"]}, ssl=context) as ws:
                    assert (await ws.receive_json())["type"] == "welcome"

        asyncio.run(run())


def test_tls_with_a_given_certificate(tmp_path: Path) -> None:
    ca, cert, key = make_authority(str(tmp_path), "localhost")
    with _process({"tls": True, "cert": str(cert), "key": str(key), "host": "127.0.0.1"}) as process:
        lines = _lines(process)
        assert not any(line.startswith("ca file") for line in lines)

        async def run() -> None:
            context = ssl.create_default_context(cafile=str(ca))
            async with (
                aiohttp.ClientSession() as http,
                http.get(lines[-1].removeprefix("listening on ") + "/api/v1/status", ssl=context) as reply,
            ):
                assert (await reply.json())["data"]["status"] == "open"

        asyncio.run(run())


OFFICIAL = textwrap.dedent(
    """
    import asyncio, json, os, sys, warnings
    warnings.filterwarnings("ignore", message=".*pkg_resources.*")
    from kucoin_futures.client import Market, WsToken
    from kucoin_futures.ws_client import KucoinFuturesWsClient

    url = sys.argv[1]

    async def main():
        market = Market(url=url)
        print(json.dumps({"contracts": len(market.get_contracts_list()), "ticker": market.get_ticker("XBTUSDTM")}))
        seen, enough = {}, asyncio.Event()

        async def deal(message):
            seen.setdefault(message["topic"], message)
            if len(seen) == 2:
                enough.set()

        client = await KucoinFuturesWsClient.create(None, WsToken(url=url), deal, private=False)
        await client.subscribe("/contractMarket/tickerV2:XBTUSDTM")
        await client.subscribe("/contractMarket/execution:XBTUSDTM")
        await asyncio.wait_for(enough.wait(), 180)
        print(json.dumps(seen), flush=True)
        os._exit(0)  # the client's reconnect loop has no end

    asyncio.run(main())
    """
)


def test_the_official_client_reads_ticker_and_trades_over_wss(tmp_path: Path) -> None:
    with _process({"tls": True, "ca_dir": str(tmp_path)}) as process:
        url = _lines(process)[-1].removeprefix("listening on ")
        trust = str(tmp_path / "ca.pem")
        environment = {**os.environ, "SSL_CERT_FILE": trust, "REQUESTS_CA_BUNDLE": trust}
        command = [sys.executable, "-c", OFFICIAL, url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        rest, frames = (msgspec.json.decode(line) for line in done.stdout.splitlines()[-2:])
        assert rest["contracts"] == 4
        assert rest["ticker"]["symbol"] == "XBTUSDTM"
        ticker = frames["/contractMarket/tickerV2:XBTUSDTM"]
        assert ticker["subject"] == "tickerV2"
        assert float(ticker["data"]["bestBidPrice"]) < float(ticker["data"]["bestAskPrice"])
        trade = frames["/contractMarket/execution:XBTUSDTM"]
        assert trade["subject"] == "match"
        assert trade["data"]["tradeId"] == str(trade["data"]["sequence"]) == str(trade["sn"])
