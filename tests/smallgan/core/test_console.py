"""What is said on stderr, and how a stop is asked for."""

import signal

import pytest

from smallgan.core import console


def test_what_is_soon_done_says_nothing_and_what_lasts_says_how_far(capsys, monkeypatch):
    with console.progress("building", 10) as advance:
        advance(5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(console.time, "monotonic", iter((0.0, 4.0, 8.0)).__next__)
    with console.progress("building", 10) as advance:
        advance(5)
    assert capsys.readouterr().err == "building: 5 of 10, 1.25 per second, ETA 4s\n"


def test_the_first_signal_asks_to_stop_and_the_second_interrupts(capsys):
    before = signal.getsignal(signal.SIGINT)
    with console.stop_flag() as stop_requested:
        assert not stop_requested()
        signal.raise_signal(signal.SIGINT)
        assert stop_requested()
        assert "Stopping after this step. Press Ctrl-C again" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0s"), (59.6, "1m00s"), (95, "1m35s"), (3599.7, "1h00m"), (11_130, "3h05m")]
)
def test_durations_have_two_units_at_most(seconds, said):
    assert console.duration(seconds) == said


def test_quiet_lets_warnings_through_alone_and_ends(capsys):
    with console.quiet(False):
        console.say("one")
    with console.quiet():
        for line in ("two", "warning: three"):
            console.say(line)
        with console.quiet(False):
            console.say("four")
    console.say("five")
    taken = []
    for line in ("step 1", "warning: six"):
        console.warnings_of(taken.append)(line)
    assert capsys.readouterr().err.splitlines() == ["one", "warning: three", "five"]
    assert taken == ["warning: six"]
