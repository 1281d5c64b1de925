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
    assert capsys.readouterr().err == "building: 5 of 10, 1.25 a second, 4 s left\n"


def test_the_first_signal_asks_to_stop_and_the_second_interrupts(capsys):
    before = signal.getsignal(signal.SIGINT)
    with console.stop_flag() as stop_requested:
        assert not stop_requested()
        signal.raise_signal(signal.SIGINT)
        assert stop_requested()
        assert "stopping after this step" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5990, "100 min"), (11_600, "3.2 h")]
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert console.duration(seconds) == said
