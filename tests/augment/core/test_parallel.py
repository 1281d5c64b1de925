"""Work in threads: the same results in the same order, little of it waiting or held, no thread left."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from augment.core.parallel import ByteBudget, ahead

DELAYS = np.random.default_rng(0).uniform(0, 0.002, 60)


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("most_bytes", [0, 25, 10**6])
def test_results_come_in_order_however_long_each_takes(workers, most_bytes):
    def slow_square(item):
        time.sleep(DELAYS[item])
        return item * item

    with ahead(slow_square, range(60), lambda _: 10, workers=workers, most_bytes=most_bytes) as results:
        assert list(results) == [item * item for item in range(60)]


def test_nothing_to_do_gives_nothing():
    with ahead(str, [], len, workers=3, most_bytes=9) as results:
        assert list(results) == []


def test_what_waits_is_bounded_however_slow_the_caller_is():
    begun, most_waiting = [], 0
    with ahead(lambda item: begun.append(item) or item, range(50), lambda _: 10, workers=2, most_bytes=30) as results:
        for given, _ in enumerate(results, start=1):
            time.sleep(0.002)
            most_waiting = max(most_waiting, len(begun) - given)
    assert 3 <= most_waiting <= 3 + 2, "three results of 10 bytes, and one a thread that had begun"


def test_the_first_is_given_when_all_are_done_or_there_is_no_more_room():
    begun = []
    for most_bytes, least in ((10**6, 40), (100, 10)):
        begun.clear()
        with ahead(
            lambda item: begun.append(item) or item, range(40), lambda _: 10, workers=2, most_bytes=most_bytes
        ) as results:
            assert next(results) == 0
            assert len(begun) >= least


def test_an_error_comes_in_its_turn():
    def fail_at_5(item):
        if item == 5:
            raise ValueError("five")
        return item

    given = []
    with (
        pytest.raises(ValueError, match="five"),
        ahead(fail_at_5, range(9), lambda _: 1, workers=3, most_bytes=99) as results,
    ):
        given.extend(results)
    assert given == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("most_bytes", [10, 10**6])
def test_a_caller_that_stops_early_leaves_no_thread(most_bytes):
    before = threading.active_count()

    def stop_at_once():
        with ahead(abs, range(1000), lambda _: 10, workers=4, most_bytes=most_bytes) as results:
            next(results)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_at_once()
    assert threading.active_count() == before


def test_threads_together_hold_no_more_than_the_budget():
    budget, lock, held, seen = ByteBudget(100, free_bytes=5), threading.Lock(), [0], []

    def work(num_bytes):
        with budget.hold(num_bytes):
            with lock:
                held[0] += num_bytes
                seen.append(held[0])
            with lock:
                held[0] -= num_bytes
        return num_bytes

    sizes = [60, 40, 30, 100, 7, 90] * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, sizes)) == sizes
    assert max(seen) == 100


def test_what_is_larger_than_all_is_held_alone_and_what_is_small_never_waits():
    budget = ByteBudget(100, free_bytes=5)
    with budget.hold(500), budget.hold(5), budget.hold(5):
        assert budget._held == 500
    with budget.hold(60), budget.hold(40):
        assert budget._held == 100
    assert budget._held == 0
