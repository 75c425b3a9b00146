"""Settings: one file with everything, layers that win in order, every problem at once."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from zmart_stream.app.config import Sources, load, setting_keys
from zmart_stream.app.core_settings import core_settings, needs_restart
from zmart_stream.app.settings import Settings
from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.market import WarmUp
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.engine.warmup import Start
from zmart_stream.scoring.registry import DEFAULTS, build_scorers

CHECKOUT = Path(__file__).resolve().parents[2]
SHIPPED = CHECKOUT / "zmart.toml"


def problems(tmp_path: Path, text: str, **more: object) -> list[str]:
    file = tmp_path / "zmart.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Sources(file=file, environ={}, **more))
    return caught.value.problems


def test_the_shipped_file_holds_every_setting_with_its_default():
    loaded = load(Sources(file=SHIPPED, environ={}))
    assert loaded.settings == Settings()
    written = tomllib.loads(SHIPPED.read_text())
    for key in setting_keys():
        node: object = written
        for name in key:
            assert isinstance(node, dict)
            if key[-1] in {"custom", "webhooks", "channels"}:
                break  # an array of tables cannot be written empty before the tables it would follow
            assert name in node, f"zmart.toml lacks {'.'.join(key)}"
            node = node[name]


def test_every_setting_in_the_shipped_file_is_explained():
    lines = SHIPPED.read_text().splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r"^[a-z_]+ = ", line) and not before.startswith("# ")
    ]
    assert not bare


def test_numbers_document_names_settings_that_exist_with_their_defaults():
    text = (CHECKOUT / "docs" / "numbers.md").read_text()
    known = {".".join(key): key for key in setting_keys()}
    named = re.findall(
        r"`((?:market|scoring|portfolio|signals|freshness|feed|venue|sectors)(?:\.[a-z_]+)?)`(?: ([\d .]+[a-z]?))?",
        text,
    )
    assert len(named) > 30
    for dotted, value in named:
        if dotted in {"sectors", "scoring.<component>", "signals.agents", "signals.detectors"}:
            continue
        assert dotted in known, f"docs/numbers.md names {dotted}, zmart.toml has no such key"
        default = Settings()
        for name in known[dotted]:
            default = getattr(default, name)
        if value.strip() and isinstance(default, float | int) and not isinstance(default, bool):
            digits = re.match(r"([\d ]+(?:\.\d+)?)([smhd]?)", value.strip())
            assert digits
            number = float(digits[1].replace(" ", "")) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[digits[2]]
            assert number == default, f"docs/numbers.md says {dotted} {value}, the default is {default}"


def test_numbers_document_covers_the_tables_that_define_figures():
    text = (CHECKOUT / "docs" / "numbers.md").read_text()
    for key in setting_keys():
        dotted = ".".join(key)
        if key[0] in {"market", "portfolio", "freshness"} or (
            key[0] in {"scoring", "signals"} and len(key) == 2 and key[1] != "custom"
        ):
            assert f"`{dotted}`" in text, f"docs/numbers.md does not mention {dotted}"


def test_all_problems_come_together_with_place_and_nearest_name(tmp_path):
    found = problems(
        tmp_path,
        '[portfolio]\nmax_symbol = 10\nentry_score = "x"\nexit_score = 200\n[api]\nprot = 1\nhost = "0.0.0.0"\n',
    )
    report = "\n".join(found)
    assert "zmart.toml:2: unknown key portfolio.max_symbol; did you mean portfolio.max_symbols?" in report
    assert re.search(r"zmart.toml:3: portfolio.entry_score: .*number.*'x'", report)
    assert re.search(r"zmart.toml:4: portfolio.exit_score: .*100.*200", report)
    assert "zmart.toml:6: unknown key api.prot; did you mean api.port?" in report
    assert "host 0.0.0.0 is not loopback" in report  # a contradiction, found although other keys are wrong


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "holds no settings"),
        ("# only a comment\n", "holds no settings"),
        ("this is not toml", "not TOML"),
        ("a = 1\n" * 200_000, "bytes"),
        ("x = " + "[" * 100_000, "nested"),
        ("[" + ".".join("a" * 40) + "]\n", "nested"),
        ("[portfolio]\nentry_score = 30.0\nexit_score = 40.0\n", "exit_score 40 is above entry_score 30"),
        ('[market]\nbar = "3h"\n', "market.bar"),
        (
            '[sectors]\nFOO = {market_cap_category = "huge"}\n',
            "toml:2: sectors.FOO.market_cap_category: input should be 'large'",
        ),
        ("[scoring.technical]\nweight = 2.0\n", "scoring.technical.weight"),
        ('[portfolio]\nmin_hold = "long"\n', "duration"),
        ('profile = "quick"\n', "profile"),
        ("[sandbox]\nspeed = 0.0\n", "sandbox: speed must be above 0"),
        ("[venue]\nspeed = inf\n", "speed"),
    ],
)
def test_each_kind_of_wrong_file_is_one_clear_report(tmp_path, text, word):
    found = problems(tmp_path, text)
    assert any(word in line for line in found), found
    assert len(found) <= 2


def test_a_component_s_table_names_only_what_it_changes(tmp_path):
    file = tmp_path / "zmart.toml"
    file.write_text("[scoring.technical.parts]\nrsi = 0.5\n[scoring.risk]\nweight = 0.3\n")
    scoring = load(Sources(file=file, environ={})).settings.scoring
    assert scoring.technical.weight == 0.25
    assert scoring.technical.parts == {**Settings().scoring.technical.parts, "rsi": 0.5}
    assert (scoring.risk.weight, scoring.risk.parts) == (0.3, Settings().scoring.risk.parts)


def test_not_utf_8_and_missing_files_are_named(tmp_path):
    file = tmp_path / "zmart.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(Sources(file=file, environ={}))
    with pytest.raises(ConfigError, match="no such file"):
        load(Sources(file=tmp_path / "absent.toml", environ={}))


def test_later_layers_win_and_origin_says_which(tmp_path):
    file = tmp_path / "zmart.toml"
    file.write_text('[api]\nport = 1\n[market]\nbar = "1h"\n[portfolio]\nconfirm = 5\n')
    loaded = load(
        Sources(
            file=file,
            environ={"ZMART_API__PORT": "2", "ZMART_PROFILE": "fast", "DATABASE_URL": "sqlite:///x.db"},
            overrides={"portfolio.confirm": 6, "portfolio.entry_score": 51.0},
            sets=("api.port=3", 'venue.allowed_hosts=["127.0.0.1"]', "venue.speed=max", "state_dir=/tmp/007"),
        )
    )
    settings = loaded.settings
    assert (settings.api.port, settings.market.bar, settings.portfolio.confirm) == (3, "15m", 6)
    assert settings.venue.allowed_hosts == ["127.0.0.1"]
    assert settings.venue.speed == "max"
    assert settings.storage.url == "sqlite:///x.db"
    assert loaded.origin(("api", "port")) == "--set"
    assert loaded.origin(("market", "bar")).startswith("profile fast.toml:")
    assert loaded.origin(("portfolio", "entry_score")) == "recorded override"
    assert loaded.origin(("storage", "url")) == "environment"
    assert loaded.origin(("log", "level")) == "default"


def test_bare_text_stays_text_where_text_is_wanted():
    sets = ("state_dir=007", "venue.rest_url=http://127.0.0.1:1", "log.level=debug")
    settings = load(Sources(file=SHIPPED, environ={}, sets=sets)).settings
    assert settings.state_dir == "007"
    assert settings.venue.rest_url == "http://127.0.0.1:1"
    assert settings.log.level == "debug"


@pytest.mark.parametrize("text", ["api.port", "=1", "api.port=x", "api=1", "api.port.deep=1"])
def test_wrong_assignments_are_refused(text):
    with pytest.raises(ConfigError):
        load(Sources(file=SHIPPED, environ={}, sets=(text,)))


def test_operator_defaults_are_the_core_s_own():
    core = core_settings(Settings(), 1.0)
    assert core.market == CoreSettings().market
    assert core.portfolio == PortfolioSettings()
    assert {c.name: c.weight for c in core.scoring.components} == {c.name: c.weight for c in DEFAULTS}
    for configured, built_in in zip(build_scorers(core.scoring), build_scorers(CoreSettings().scoring), strict=True):
        assert [(p.name, p.weight) for p in configured.parts] == [(p.name, p.weight) for p in built_in.parts]


def test_transport_durations_follow_the_venue_s_speed_and_the_others_do_not():
    at_1, at_60, at_max = (core_settings(Settings(), speed) for speed in (1.0, 60.0, "max"))
    assert at_60.market.close_grace_s == 60 * at_1.market.close_grace_s
    assert at_60.market.gap_floor_poll_s == 60 * at_1.market.gap_floor_poll_s
    assert at_60.portfolio.first_fill_after_s == 60 * at_1.portfolio.first_fill_after_s
    assert at_60.portfolio.min_hold_s == at_1.portfolio.min_hold_s
    assert at_max.market.close_grace_s == 60.0
    assert at_max.market.gap_floor_ticker_s == at_1.market.gap_floor_ticker_s


def test_restart_keys_exist():
    known = {".".join(key) for key in setting_keys()}
    assert needs_restart(("api.port", "portfolio.confirm", "market.bar")) == ("api.port", "market.bar")
    for rule in ("state_dir", "market.bar", "feed.inbox_size"):
        assert rule in known


def test_settings_have_descriptions():
    def walk(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                walk(inner)
            else:
                assert field.description, f"{model.__name__}.{name}"

    walk(Settings)


def test_at_speed_max_the_first_fill_comes_with_the_end_of_warm_up():
    start = Start(core_settings(Settings(), "max").portfolio.first_fill_after_s)
    start.begin(1)
    assert not start.may_judge(10**18)
    start.progress(WarmUp(ts=2, done=1, of=2, ended=True))
    assert start.may_judge(2)
    assert start.waited(2)
