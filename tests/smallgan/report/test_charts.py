"""The report's parts: pictures made small enough to inline, and charts whose lines go where their numbers say."""

from __future__ import annotations

import math
import re

import pytest
import report_runs as made
from PIL import Image

from augment.errors import InputError
from smallgan.report import collect
from smallgan.report.charts import Chart, Line, key, mark, number, svg, ticks
from smallgan.report.curves import MAX_POINTS, score_charts, stats_charts
from smallgan.report.pictures import read_picture

# Pictures


def test_a_small_png_is_inlined_as_it_is(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", 64)
    assert picture.data == (tmp_path / "a.png").read_bytes()
    assert (picture.mime, picture.width, picture.height) == ("image/png", 40, 30)


def test_a_large_picture_is_shrunk_and_always_to_the_same_bytes(tmp_path):
    noise = Image.effect_noise((900, 300), 80)
    noise.save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", 300)
    assert (picture.mime, picture.width, picture.height) == ("image/webp", 300, 100)
    assert len(picture.data) < (tmp_path / "a.png").stat().st_size / 5
    assert read_picture(tmp_path / "a.png", 300) == picture


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_broken_picture_is_named(tmp_path, data):
    (tmp_path / "fakes.png").write_bytes(data)
    with pytest.raises(InputError, match=r"fakes\.png: cannot be shown"):
        read_picture(tmp_path / "fakes.png", 64)


# Charts


def test_ticks_are_round_and_inside():
    assert ticks(0, 1000) == [0, 200, 400, 600, 800, 1000]
    assert ticks(0.37, 0.92) == pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    for low, high in ((-3, 5), (1e-9, 2e-9), (0, 1e20), (1.0, 1.0 + 1e-13)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 11
        assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4123, "0.412"), (3.2, "3.200"), (1234.5, "1,234"), (0.00012, "0.00012"), (0, "0.000"), (None, "not finite")],
)
def test_numbers_read_well(value, text):
    assert number(value) == text
    assert number(math.nan) == number(math.inf) == "not finite"


def test_what_is_always_nothing_lies_on_the_scale_of_a_share():
    drawn = str(svg(Chart("c", "T", "step", "", (Line("run", 0, ((0, 0.0), (100, 0.0))),))))
    assert re.findall(r'class="y"[^>]*>([^<]*)<', drawn) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


def test_a_line_goes_where_its_numbers_say():
    """The plot is 480 x 290 with margins 66, 26, 14, 46; the range of y is widened by 6 % on both sides."""
    chart = Chart("c", "T", "step", "", (Line("run", 0, ((0, 0.0), (100, 1.0))),))
    path = re.search(r'class="line" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg(chart))
    edge = 230 * 0.06 / 1.12
    assert [float(part) for part in path.groups()] == pytest.approx([66, 244 - edge, 454, 14 + edge], abs=0.06)


def test_runs_of_different_batch_sizes_are_drawn_over_images_seen(tmp_path):
    runs = [made.make_run(tmp_path / str(size), batch_size=size, done=200) for size in (16, 32)]
    chart = score_charts(collect(runs))[0]
    assert chart.x_name == "thousand images seen"
    assert [line.points[-1][0] for line in chart.lines] == pytest.approx([3.2, 6.4])


def test_long_logs_are_averaged_not_thinned(tmp_path):
    run = made.make_run(tmp_path / "a", done=0)
    made.write_lines(run / "stats.jsonl", [{"step": step, "loss_d": step % 2} for step in range(1, 1001)])
    chart = stats_charts(collect([run]))[0]
    points = chart.lines[0].points
    assert len(points) <= MAX_POINTS
    assert "mean of 7 reports" in chart.note
    assert sum(y for _, y in points) / len(points) == pytest.approx(0.5, abs=0.01)


def test_a_ninth_line_has_the_marker_of_its_key():
    line = Line("ninth", 8, ((0.0, 1.0), (1.0, 2.0)))
    assert mark(8) != mark(0)
    assert mark(8) in svg(Chart("c", "C", "step", "", (line,)))
    assert mark(8) in key(8)
