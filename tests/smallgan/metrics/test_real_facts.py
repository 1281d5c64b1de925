"""What follows from the reals alone is found once, is the same as found anew, and belongs to these reals only."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from augment.errors import InputError
from smallgan.metrics import METRICS, RealSet, evaluate, kernel_sums, real_facts
from smallgan.metrics.features.extract import FeatureNet, Features
from smallgan.metrics.measure import MetricInputs, MetricOptions, MetricResult
from smallgan.metrics.memorisation import nearest
from smallgan.metrics.real_facts import LEAST_ON_DISK, NONE_KEPT, RealFacts
from smallgan.tables.metrics import MetricSpec

NET = FeatureNet("net", "net", "0" * 64, "none", "fp32", 4, 3, lambda _: None, torch.device("cpu"), None)
KERNELS = ("kmmd", "kmmd_u", "kid")
OF_IMAGES = tuple(row.name for row in METRICS if "labels" not in row.needs)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path))
    real_facts.forget()
    yield tmp_path / "features"
    real_facts.forget()


@pytest.fixture
def summed(monkeypatch):
    """The numbers of images of the sets whose pairs a kernel was summed over, without those that serve a width."""
    counts = []
    plain = kernel_sums._sums_within

    def spy(x, *rest):
        counts.append(len(x))
        return plain(x, *rest)

    monkeypatch.setattr(kernel_sums, "_sums_within", spy)
    monkeypatch.setattr(kernel_sums, "_slope_of_width", lambda *_: 0.0)
    return counts


def images(count, seed):
    rng = np.random.default_rng([12, seed])
    features, logits = (rng.normal(size=(count, width)).astype(np.float32) for width in (4, 3))
    return Features(features, logits, rng.gamma(2.0, size=count))


REALS = images(LEAST_ON_DISK, 0)


def numbers(scores):
    return [(each.metric, each.value, each.interval, each.std, each.parts, each.baseline) for each in scores]


def test_pairs_of_reals_are_summed_once_for_each_kernel(summed):
    first = evaluate(images(20, 1), REALS, NET, metrics=KERNELS)
    assert summed.count(1000) == 2, "one Gaussian for kmmd and kmmd_u, one cubic kernel"
    again = evaluate(images(20, 1), REALS, NET, metrics=KERNELS)
    evaluate(images(30, 2), REALS, NET, metrics=KERNELS)
    assert summed.count(1000) == 2
    assert (summed.count(20), summed.count(30)) == (6, 3)
    assert numbers(again) == numbers(first)


@pytest.mark.parametrize("metrics", [("kmmd", "kid"), pytest.param(OF_IMAGES, marks=pytest.mark.slow)])
def test_scores_are_those_without_anything_kept_bit_for_bit(monkeypatch, metrics):
    def scored(seed):
        asked = {"metrics": metrics, "augmented": images(30, 3), "source": images(30, 5), "baselines": True}
        asked["reals_fingerprint"] = "reals"
        return evaluate(images(40, seed), REALS, NET, training_set=RealSet(images(300, 4), "trained on"), **asked)

    in_turn = [scored(seed) for seed in (1, 2, 1)]
    real_facts.forget()
    from_disk = scored(1)
    monkeypatch.setattr(RealFacts, "of", lambda _reals: NONE_KEPT)
    anew = [scored(seed) for seed in (1, 2)]
    assert list(map(numbers, in_turn)) == [numbers(anew[0]), numbers(anew[1]), numbers(anew[0])]
    assert numbers(from_disk) == numbers(anew[0])


def test_neighbours_of_reals_and_of_their_halves_are_found_once(monkeypatch):
    counts = []
    plain = nearest.kth_square_within
    monkeypatch.setattr(nearest, "kth_square_within", lambda x, k: counts.append(len(x)) or plain(x, k))
    trained_on = RealSet(REALS, None)
    for seed in (1, 2):
        evaluate(images(60, seed), REALS, NET, metrics=["copies", "repeats"], training_set=trained_on)
    assert (counts.count(1000), counts.count(500)) == (1, 40)


def test_a_later_command_reads_them(summed, folder):
    first = evaluate(images(20, 1), REALS, NET, metrics=KERNELS, baselines=True)
    num_files = len(list(folder.iterdir()))
    summed.clear()
    real_facts.forget()
    again = evaluate(images(20, 1), REALS, NET, metrics=KERNELS, baselines=True)
    assert set(summed) == {20}, "fakes alone: no reals, no reals in the place of fakes"
    assert numbers(again) == numbers(first)
    assert len(list(folder.iterdir())) == num_files == 6  # spreads, two kernels, three baselines


@pytest.mark.process
def test_another_process_reads_them(folder):
    np.savez(folder.parent / "sets.npz", real=REALS.features, fake=images(20, 1).features)
    program = (
        "import sys, numpy as np\n"
        "from smallgan.metrics import evaluate, kernel_sums\n"
        "from smallgan.metrics.features.extract import FeatureNet, Features\n"
        "counts, plain = [], kernel_sums._sums_within\n"
        "kernel_sums._sums_within = lambda x, *rest: counts.append(len(x)) or plain(x, *rest)\n"
        "sets = np.load(sys.argv[1])\n"
        "real, fake = (Features(sets[name], np.zeros((len(sets[name]), 0))) for name in ('real', 'fake'))\n"
        "net = FeatureNet('net', 'net', '', '', '', 4, 0, None, None)\n"
        "[score] = evaluate(fake, real, net, metrics=['kid'])\n"
        "print(repr(score.value), counts.count(1000))\n"
    )
    done = [
        subprocess.run(
            [sys.executable, "-c", program, str(folder.parent / "sets.npz")], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert [found for _, found in done] == ["1", "0"]
    assert done[0][0] == done[1][0]


def other_features(reals):
    features = reals.features.copy()
    features[-1, -1] += 1
    return Features(features, reals.logits)


def other_logits(reals):
    return Features(reals.features, reals.logits[::-1])


def as_doubles(reals):
    return Features(reals.features.astype(np.float64), reals.logits)


@pytest.mark.parametrize("change", [other_features, other_logits, as_doubles])
def test_other_reals_have_facts_of_their_own(monkeypatch, change):
    asked = {"metrics": ("kmmd", "kid", "is", "target"), "baselines": True}
    evaluate(images(20, 1), REALS, NET, **asked)
    found = evaluate(images(20, 1), change(REALS), NET, **asked)
    monkeypatch.setattr(RealFacts, "of", lambda _reals: NONE_KEPT)
    assert numbers(found) == numbers(evaluate(images(20, 1), change(REALS), NET, **asked))


def test_reals_that_changed_in_place_are_other_reals(summed):
    reals = Features(REALS.features.copy(), REALS.logits)
    evaluate(images(20, 1), reals, NET, metrics=["kid"])
    reals.features[0] += 1
    evaluate(images(20, 1), reals, NET, metrics=["kid"])
    assert summed.count(1000) == 2


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:90] + b"x" + data[91:], lambda _: b""])
def test_a_damaged_file_is_made_again(summed, folder, capsys, spoil):
    before = evaluate(images(20, 1), REALS, NET, metrics=["kid"])
    [file] = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    real_facts.forget()
    assert numbers(evaluate(images(20, 1), REALS, NET, metrics=["kid"])) == numbers(before)
    assert f"{file}: damaged facts of reals in the cache; they are made again" in capsys.readouterr().err
    assert summed.count(1000) == 2
    assert file.read_bytes() == whole


def test_facts_of_few_reals_leave_no_file(summed, folder):
    few = REALS.rows(list(range(LEAST_ON_DISK - 1)))
    for _ in range(2):
        evaluate(images(20, 1), few, NET, metrics=["kid"], baselines=True)
    assert not folder.exists()
    assert summed.count(999) == 1


def test_a_fact_that_cannot_be_found_is_not_kept():
    alike = Features(np.ones((LEAST_ON_DISK, 4), np.float32), np.zeros((LEAST_ON_DISK, 3), np.float32))
    for _ in range(2):
        with pytest.raises(InputError, match="do not differ"):
            evaluate(images(20, 1), alike, NET, metrics=["kmmd"])
        [score] = evaluate(images(20, 1), alike, NET, metrics=["fid"])
        assert score.value > 0


def test_memory_holds_so_many_bytes_and_the_latest(monkeypatch):
    facts = RealFacts.of(images(5, 0))
    monkeypatch.setattr(real_facts, "MOST_BYTES", 2 * 80)
    asked = []

    def ask(name):
        facts.get(name, lambda: asked.append(name) or {"numbers": np.zeros(10)})

    for name in ("a", "b", "a", "c", "a", "c", "b"):
        ask(name)
    assert asked == ["a", "b", "c", "b"]


def measure_by_mood(_inputs: MetricInputs, _options: MetricOptions) -> MetricResult:
    return MetricResult(MOOD[0], "of the moment")


MOOD = [1.0]


def test_the_baseline_of_a_metric_of_the_users_own_is_not_kept():
    row = replace(METRICS["kid"], name="mood", compute=f"{__name__}:measure_by_mood")
    assert isinstance(row, MetricSpec)
    METRICS.register(row)
    try:
        for MOOD[0] in (1.0, 2.0):
            [score] = evaluate(images(20, 1), REALS, NET, metrics=["mood"], baselines=True)
            assert score.baseline == MOOD[0]
    finally:
        METRICS.unregister("mood")
