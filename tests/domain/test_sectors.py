import pytest

from zmart_stream.domain.sectors import SECTORS, bases, placed, sector_of


@pytest.mark.parametrize(
    ("base", "sector"),
    [
        ("XBT", "layer1"),
        ("BTC", "layer1"),
        ("btc", "layer1"),
        ("ARB", "layer2"),
        ("UNI", "defi"),
        ("1INCH", "defi"),
        ("1000BONK", "meme"),
        ("1MBONK", "meme"),
        ("1000000MOG", "meme"),
        ("10000SATS", "meme"),
        ("LINK", "oracle"),
        ("XMR", "privacy"),
    ],
)
def test_the_table_knows_a_base_under_every_spelling(base: str, sector: str) -> None:
    assert sector_of(base) == sector


@pytest.mark.parametrize("base", ["", "1000", "1M", "NOSUCHCOIN", "1000NOSUCHCOIN", "BONK1000"])
def test_a_coin_the_table_does_not_know_has_no_sector(base: str) -> None:
    assert sector_of(base) is None


@pytest.mark.parametrize(
    ("base", "own", "overrides", "sector"),
    [
        ("ETH", "layer1", {"ETH": "smart"}, "smart"),
        ("XBT", "layer1", {"btc": "money"}, "money"),
        ("1000BONK", "meme", {"BONK": "dogs"}, "dogs"),
        ("1000BONK", "meme", {"1000BONK": "dogs", "BONK": "cats"}, "dogs"),
        ("NEWCOIN", None, {"NEWCOIN": "ai"}, "ai"),
        ("ETH", "layer1", {"ETH": ""}, None),
        ("ETH", "layer1", {"SOL": "other"}, "layer1"),
        ("ETH", "layer1", {}, "layer1"),
    ],
)
def test_settings_extend_the_table_and_override_it(
    base: str, own: str | None, overrides: dict[str, str], sector: str | None
) -> None:
    assert placed(base, own, overrides) == sector


def test_every_base_is_found_in_one_of_the_named_sectors() -> None:
    names = bases()
    assert len(names) == len(set(names)) >= 300
    found = {sector_of(base) for base in names}
    assert found == set(SECTORS)
    assert all(base == base.upper() for base in names)
