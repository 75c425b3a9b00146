"""When the daemon may be asked."""

from zmart_stream.ops.health import not_ready


def test_ready_means_fresh_and_on_disk() -> None:
    assert not_ready(universe=600, live=360, live_share=0.6, database_fault="") == []
    assert not_ready(universe=600, live=359, live_share=0.6, database_fault="") == [
        "the feed is not fresh: 359 of 600 contracts are live"
    ]
    assert not_ready(universe=0, live=0, live_share=0.6, database_fault="") == ["no contracts known yet"]
    both = not_ready(universe=600, live=0, live_share=0.6, database_fault="disk full")
    assert both[1] == "the database cannot be written: disk full"
