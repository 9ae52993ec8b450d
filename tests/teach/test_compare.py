"""Where two runs part, and how the tables look."""

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.model.stages import Stage
from xlsr_ref.teach import check


@pytest.fixture
def reference(rng):
    return {f"layers.{i}": rng.standard_normal((4, 3)) for i in range(4)}


def test_the_first_that_departs_is_named_not_the_worst(reference):
    mine = dict(reference)
    mine["layers.1"] = mine["layers.1"] * 1.01
    mine["layers.3"] = mine["layers.3"] * 2
    found = check.stages(mine, reference)
    assert found.first == "layers.1"
    assert [row.name for row in found.rows] == list(reference)
    assert found.rows[1].relative == pytest.approx(0.01)
    lines = str(found).splitlines()
    assert [i for i, line in enumerate(lines) if line.endswith("departs")] == [2]  # the header is line 0
    assert lines[-1] == "the first that departs: layers.1, error 1.0e-02, above 0.0001"


def test_none_departs(reference):
    mine = dict(reversed(list(reference.items()))) | {"layers.2": reference["layers.2"] * (1 + 1e-7)}
    found = check.stages(mine, reference)
    assert found.first is None
    assert [row.name for row in found.rows] == list(reference)  # in the order of the reference
    assert "none departs: the largest error is 1.0e-07, of layers.2" in str(found)
    assert check.stages(mine, reference, tolerance=1e-9).first == "layers.2"


def test_nan_and_another_shape_depart(reference):
    assert check.stages(reference | {"layers.2": np.full((4, 3), np.nan)}, reference).first == "layers.2"
    found = check.stages(reference | {"layers.0": np.zeros((4, 2))}, reference)
    assert found.first == "layers.0"
    assert found.rows[0].relative == float("inf")


def test_what_only_one_side_has_is_named(reference):
    mine = {"more": np.ones(1)} | {name: array for name, array in reference.items() if name != "layers.3"}
    found = check.stages(mine, reference)
    assert (found.missing, found.extra) == (("layers.3",), ("more",))
    assert "missing: layers.3" in str(found)
    assert "extra: more" in str(found)
    assert found.first is None
    assert "no stage is on both sides" in str(check.stages({}, reference))


def test_stages_of_the_model_are_compared_by_their_outputs():
    waveform = np.sin(np.arange(1600) * 0.3)
    _, double = xlsr_ref.load(dtype="float64").forward(waveform, 16000)
    _, single = xlsr_ref.load().forward(waveform.astype(np.float32), 16000)
    found = check.stages(single, double)
    assert found.first is None, found
    assert len(found.rows) == len(double)
    assert 0 < max(row.relative for row in found.rows) < 1e-4  # float32 against float64: not the same array twice
    name = "wav2vec2.encoder.layers.2"
    broken = single | {name: Stage(-single[name].output, single[name].cache)}
    assert check.stages(broken, double).first == name
    arrays = {name: stage.output for name, stage in double.items()}
    assert check.stages(single, arrays).rows == found.rows


def test_tables_are_html_without_colours_of_their_own(reference):
    mine = reference | {"layers.1": reference["layers.1"] + 1}
    for result in (check.stages(mine, reference), check.compare(mine, reference), check.shapes(reference)):
        html = result._repr_html_()
        assert html.count("<tr") == 1 + len(reference)
        assert "background" not in html
        assert "; color:" not in html
        assert repr(result) == str(result)
    for result in (check.stages(mine, reference), check.compare(mine, reference)):
        marked = [row for row in result._repr_html_().split("<tr")[2:] if "border-left" in row]
        assert len(marked) == 1
        assert "<b>layers.1</b>" in marked[0]


def test_names_are_escaped():
    html = check.compare({"<b>": np.ones(1), "<i>": np.ones(1)}, {"<b>": np.zeros(1), "<i>": np.ones(1)})._repr_html_()
    assert "<b>&lt;b&gt;</b>" in html  # marked
    assert ">&lt;i&gt;<" in html


def test_nothing_is_marked_where_all_is_equal(reference):
    assert "border-left" not in check.compare(reference, reference)._repr_html_()
    assert "border-left" not in check.stages(reference, reference)._repr_html_()
