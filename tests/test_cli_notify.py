"""`notify` as its users have it: endpoints and messages as a table, a test that says how it went, dead ones again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from structlog.testing import capture_logs

from tests.api.desk import desk
from tests.api.shelf import Books, Counter, Dials, Paper
from tests.notify.receiver import Memory, delivering, hooked, receiving, until
from tests.notify.samples import change
from tests.test_cli import ask, call, start
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import Services
from zmart_stream.notify.outbox import Outbox


def over(outbox: Outbox) -> Services:
    """The API over these notifications."""
    return Services(
        reader=Books(),
        commander=Counter(),
        archive=Paper(),
        configuration=Dials(),
        now=lambda: 1,
        not_ready=list,
        notifications=outbox,
    )


def test_an_operator_sees_what_died_and_has_it_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        with capture_logs():  # standard output is what is looked at
            await shown()

    async def shown() -> None:
        store, auth = Memory(), AuthSettings(open_loopback=True)
        async with (
            receiving() as hook,
            delivering(hooked(hook.url, attempts=1), store) as outbox,
            desk(tmp_path, auth=auth, behind=over(outbox)) as at,
        ):
            hook.plan = [500, 503]
            messages = [change(1), change(2)]
            store.put([*messages, *outbox.router.route(messages)])
            await until(lambda: store.states() == ["dead", "dead"])
            code, out, _ = await ask(at, "notify", "list", "--state", "dead")
            assert code == 0
            assert "bot" in out
            assert "A1USDTM joins the book at rank 1 with 12.50 %: fill" in out
            assert "answered 503" in out
            assert "2 of 2 messages" in out
            code, out, _ = await ask(at, "notify", "list", "--json")
            rows = json.loads(out)["notifications"]
            assert (await ask(at, "notify", "list", "--state", "pending", "--csv"))[1].startswith("id,event_id,type,")
            assert (await ask(at, "notify", "resend", rows[1]["id"]))[1] == "1 are tried anew\n"
            await until(lambda: store.states() == ["delivered", "dead"])
            assert (await ask(at, "notify", "resend", "--endpoint", "bot", "--as", "anna"))[1] == "1 are tried anew\n"
            assert (await ask(at, "notify", "test", "bot"))[:2] == (0, "bot took it\n")
            assert [got.id for got in hook.got[2:4]] == [rows[1]["event_id"], rows[0]["event_id"]]

    asyncio.run(scenario())


def test_a_test_that_is_not_taken_and_a_name_that_is_none_end_with_1(tmp_path: Path) -> None:
    async def scenario() -> None:
        store, auth = Memory(), AuthSettings(open_loopback=True)
        async with (
            receiving() as hook,
            delivering(hooked(hook.url), store) as outbox,
            desk(tmp_path, auth=auth, behind=over(outbox)) as at,
        ):
            hook.plan = [401]
            code, _, err = await ask(at, "notify", "test", "bot")
            assert (code, err) == (1, "zmart-stream: bot: answered 401; it is tried again\n")
            code, _, err = await ask(at, "notify", "test", "boot")
            assert code == 1
            assert "no endpoint has the name 'boot'; there are bot [unknown_endpoint]" in err
            assert (await ask(at, "notify", "list", "--state", "gone"))[0] == 64

    asyncio.run(scenario())


def test_wrong_notifications_are_told_by_check_config_doctor_and_a_start(tmp_path: Path) -> None:
    file = tmp_path / "zmart.toml"
    file.write_text(
        '[[notify.webhooks]]\nname = "bot"\nurl = "https://10.0.0.1/hunter2"\nsecret_env = "NOBODY_HAS_IT"\n'
        '[[notify.channels]]\nname = "me"\nurl_file = "nowhere"\n'
    )
    checked = call(tmp_path, "check-config", str(file))
    assert checked.returncode == 78
    told = [line for line in checked.stderr.splitlines() if "notify" in line]
    assert told == [
        "zmart-stream: notify.webhooks.bot: url: 10.0.0.1 is not public; notify.allowed_networks may list it",
        "zmart-stream: notify.channels.me: file nowhere: No such file or directory",
    ]
    state = f"state_dir={tmp_path}"
    started = start(tmp_path, "run", "--config", str(file), "--set", state, "--for", "1s")
    assert started.returncode == 78
    assert "notify.webhooks.bot: url: 10.0.0.1 is not public" in started.stderr
    examined = call(tmp_path, "doctor", "--offline", "--config", str(file), "--set", state)
    assert examined.returncode == 1
    assert examined.stdout.count("notify") >= 2
    shown = call(tmp_path, "show-config", "--config", str(file))
    assert "https://10.0.0.1/***" in shown.stdout
    assert all(
        "hunter2" not in text for one in (checked, started, examined, shown) for text in (one.stdout, one.stderr)
    )
