"""The roofline."""

from __future__ import annotations

import statistics
import sys
from xml.etree import ElementTree

import pytest

from xlsr_ref.errors import XlsrError
from xlsr_ref.measure.bench import plot, stages
from xlsr_ref.measure.bench.programs import Workload


def test_an_svg_that_says_what_it_shows(tmp_path, result):
    plot.write(tmp_path / "roof.svg", [result], "tiny & fast")
    text = "\n".join(ElementTree.parse(tmp_path / "roof.svg").getroot().itertext())
    for words in ("tiny & fast", "GFLOP/s", "FLOPs per byte", "multiply-adds: 20 GFLOP/s", "copy: 5.0 GB/s", "head"):
        assert words in text
    assert "norms" not in text  # they multiply next to nothing
    assert [path.name for path in tmp_path.iterdir()] == ["roof.svg"]


def test_the_same_numbers_give_the_same_file(tmp_path, result):
    for name in ("a.svg", "b.svg"):
        plot.write(tmp_path / name, [result], "x")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_png(tmp_path, result):
    plot.write(tmp_path / "roof.PNG", [result], "x")
    assert (tmp_path / "roof.PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_points_lie_where_the_numbers_say(result):
    axes = plot.draw([result], "x").axes[0]
    roof, *points = axes.lines
    assert roof.get_xydata()[1].tolist() == [4.0, 20.0]  # 20 GFLOP/s over 5 GB/s
    assert roof.get_xydata()[0][1] == pytest.approx(5 * roof.get_xydata()[0][0])
    multiplying = [stage for stage, work in result.stage_work.items() if work.flops]
    expected = [[10.0, 1 / 0.06]] * len(multiplying) + [[7e9 / (8 * 1e8), 7 / statistics.median([0.5, 0.4, 0.6])]]
    found = [point.get_xydata()[0].tolist() for point in points]
    assert found == [pytest.approx(point) for point in expected]
    colours = [point.get_color() for point in points]
    assert len(set(colours)) == len(colours)


def test_workloads_are_told_apart_and_lists_left_out(tmp_path, result):
    longer = result._replace(workload=Workload("noise", 10.0))
    clips = result._replace(workload=Workload("clips"), stage_seconds={})
    plot.write(tmp_path / "roof.svg", [result, longer, clips], "x")
    text = "\n".join(ElementTree.parse(tmp_path / "roof.svg").getroot().itertext())
    assert "2 s of audio" in text
    assert "10 s of audio" in text
    assert "clips" not in text
    markers = {point.get_marker() for point in plot.draw([result, longer], "x").axes[0].lines[1:]}
    assert len(markers) == 2


def test_a_colour_for_every_stage():
    assert len(plot.COLOURS) == len([stage for stage in stages.FUNCTIONS if stage != "norms"])


def test_a_place_that_cannot_be(tmp_path, result):
    (tmp_path / "file").touch()
    with pytest.raises(XlsrError, match="cannot be written"):
        plot.write(tmp_path / "file" / "roof.svg", [result], "x")


def test_a_link_stays_one(tmp_path, result):
    (tmp_path / "link.svg").symlink_to(tmp_path / "roof.svg")
    plot.write(tmp_path / "link.svg", [result], "x")
    assert (tmp_path / "link.svg").is_symlink()
    assert "<svg" in (tmp_path / "roof.svg").read_text()


def test_no_window_is_opened(tmp_path, result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it fails
    plot.write(tmp_path / "roof.png", [result], "x")
    assert (tmp_path / "roof.png").exists()
