"""Market time: anchored, slewed, never back."""

from zmart_stream.app.clock import SLEW, SteadyClock, VenueClock, make_clock

S = 1_000_000_000


class Steady:
    def __init__(self) -> None:
        self.ns = 5 * S

    def __call__(self) -> int:
        return self.ns


def test_runs_at_the_venue_s_speed_from_the_first_anchor():
    steady = Steady()
    clock = SteadyClock(speed=60.0, steady=steady)
    clock.anchor(1_000 * S)
    steady.ns += 2 * S
    assert clock.now() == 1_120 * S


def test_before_the_first_anchor_time_goes_at_the_wall_s_pace_whatever_the_venue_s_speed():
    steady = Steady()
    clock = SteadyClock(speed=60.0, steady=steady)
    before = clock.now()
    steady.ns += 30 * S
    assert clock.now() - before == 30 * S
    venue = before + 31 * S
    clock.anchor(venue)
    assert clock.now() == venue


def test_before_the_first_anchor_a_past_grows_old_at_the_venue_s_speed():
    steady = Steady()
    past = SteadyClock(steady=steady).now() + 3600 * S
    clock = SteadyClock(speed=60.0, past=past, steady=steady)
    assert clock.now() == past
    steady.ns += 2 * S
    assert clock.now() == past + 120 * S


def test_small_errors_are_slewed_at_most_500_ppm_and_never_back():
    steady = Steady()
    clock = SteadyClock(start=1_000 * S, steady=steady)
    assert clock.anchor(1_001 * S) == S  # the venue is one second ahead
    before = clock.now()
    steady.ns += 10 * S
    assert clock.now() - before == int(10 * S * (1 + SLEW))
    clock.anchor(clock.now() - S)  # and now a second behind
    last = clock.now()
    for _ in range(100):
        steady.ns += S // 10
        assert last < clock.now() <= last + S // 10
        last = clock.now()


def test_a_suspended_machine_jumps_forward_at_once_and_a_step_back_is_not_followed():
    steady = Steady()
    clock = SteadyClock(start=1_000 * S, steady=steady)
    clock.anchor(1_000 * S + 3600 * S)
    assert clock.now() == 4_600 * S
    clock.anchor(1_000 * S)
    assert clock.now() >= 4_600 * S


def test_at_speed_max_time_is_the_highest_seen():
    clock = make_clock("max")
    assert isinstance(clock, VenueClock)
    clock.seen(7)
    clock.seen(5)
    assert clock.now() == 7
    assert clock.anchor(9) == 2
    assert clock.now() == 9
    assert not clock.ticks
