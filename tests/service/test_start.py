"""A newcomer's first half minute: warm-up, scores, the first book; and each figure as arithmetic."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.harness import FULL_BOOK, Daemon, cli, ending

CONTRACTS = 40


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("start")
    sets = (f"sandbox.contracts={CONTRACTS}", "sandbox.speed=120", *FULL_BOOK)
    daemon = Daemon(folder, "--sandbox", sets=sets)
    with ending(daemon):
        yield daemon


def test_warm_up_is_told_and_ends_in_a_book_of_ten(daemon: Daemon) -> None:
    texts = []

    def ended() -> bool:
        warm_up = daemon.status()["warm_up"]
        texts.append(warm_up["text"])
        return bool(warm_up["ended"])

    daemon.until("the end of the warm-up", ended)
    assert texts[-1] == "done"
    assert all(text == "done" or text.startswith("warming up ") for text in texts)
    book = daemon.book_ready(10)
    assert book["size"] == len(book["holdings"]) == 10
    assert [holding["rank"] for holding in book["holdings"]] == list(range(1, 11))
    first_fills = daemon.logged("book.changed", reason="first_fill")
    assert [line["symbol_in"] for line in first_fills[:10]] == list(
        dict.fromkeys(line["symbol_in"] for line in first_fills)
    )
    daemon.event("book.ready")
    assert len(daemon.logged("book.ready")) == 1


def test_weights_and_cash_sum_to_exactly_100(daemon: Daemon) -> None:
    book = daemon.book_ready(10)
    cents = [round(holding["weight"] * 100) for holding in book["holdings"]] + [round(book["cash"] * 100)]
    assert sum(cents) == 10_000
    assert all(
        math.isclose(cent / 100, weight)
        for cent, weight in zip(cents, [*(h["weight"] for h in book["holdings"]), book["cash"]], strict=True)
    )


def test_rank_lists_every_contract_that_has_a_composite(daemon: Daemon) -> None:
    daemon.book_ready(10)
    status = daemon.until(
        "all followed contracts to be scored",
        lambda: (s := daemon.status())["contracts"]["scored"] >= s["feed"]["followed"] and s,
    )
    shown = cli("rank", "--url", daemon.url, "--json")
    assert shown.returncode == 0, shown.stderr
    rows = next(value for value in json.loads(shown.stdout).values() if isinstance(value, list))
    assert len(rows) >= status["feed"]["followed"] > CONTRACTS * 0.8
    assert len({row["symbol"] for row in rows}) == len(rows)
    ranked = [row for row in rows if row["rank"] is not None]
    assert [row["rank"] for row in ranked] == list(range(1, len(ranked) + 1))
    assert [row["score"] for row in ranked] == sorted((row["score"] for row in ranked), reverse=True)
    assert all(row["failed_gates"] for row in rows if row["rank"] is None)


def test_portfolio_rows_come_first_and_cash_is_none_of_them(daemon: Daemon) -> None:
    daemon.book_ready(10)
    shown = cli("portfolio", "--url", daemon.url, "--json")
    assert shown.returncode == 0, shown.stderr
    reply = json.loads(shown.stdout)
    rows = next(value for value in reply.values() if isinstance(value, list))
    assert len(rows) == 10
    assert all(row["symbol"].endswith("USDTM") for row in rows)
    assert "cash" in reply


@pytest.mark.parametrize("door", ["http", "cli"])
def test_explain_is_arithmetic(daemon: Daemon, door: str) -> None:
    symbol = daemon.book_ready(10)["holdings"][0]["symbol"]
    if door == "http":
        found = daemon.get(f"explain/{symbol}")
    else:
        shown = cli("explain", symbol, "--url", daemon.url, "--json")
        assert shown.returncode == 0, shown.stderr
        found = json.loads(shown.stdout)
    total_weight = sum(component["weight"] for component in found["components"])
    composite = 50.0
    for component in found["components"]:
        parts = [part for part in component["parts"] if part["percentile"] is not None and part["weight"] > 0]
        if not parts:
            continue
        weight = sum(part["weight"] for part in parts)
        score = sum(part["weight"] * part["percentile"] for part in parts) / weight
        assert math.isclose(component["score"], score, abs_tol=1e-9), component["name"]
        of = component["weight"] / total_weight
        composite += of * component["confidence"] * (score - 50.0)
        contribution = of * component["confidence"] * (score - 50.0)
        assert math.isclose(component["contribution"], contribution, abs_tol=1e-9)
        assert math.isclose(sum(part["contribution"] for part in parts), contribution, abs_tol=1e-9)
    assert math.isclose(found["sum"]["composite"], composite, abs_tol=1e-9)
    assert found["gates"]


def test_status_in_words_and_unknown_symbols(daemon: Daemon, tmp_path: Path) -> None:
    assert cli("status", "--url", daemon.url).returncode == 0
    assert cli("explain", "NOSUCHUSDTM", "--url", daemon.url).returncode == 1
    gone = cli("rank", "--url", "http://127.0.0.1:9")
    assert gone.returncode == 69
    assert len(gone.stderr.splitlines()) == 1
