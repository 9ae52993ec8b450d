"""The table of everything that a forward pass keeps."""

from typing import NamedTuple

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.model.stages import Stage
from xlsr_ref.teach import check


class Inner(NamedTuple):
    x: np.ndarray
    heads: int
    factor: np.ndarray | None


class Outer(NamedTuple):
    inner: Inner
    y: np.ndarray


def test_names_shapes_and_dtypes_of_a_nested_cache():
    cache = Outer(Inner(np.zeros((2, 3)), 4, None), np.zeros(5, np.float32))
    stages = {"layers.0": Stage(np.zeros((7, 1), bool), cache), "more": [np.zeros(1), (np.zeros(2, int),)]}
    found = check.shapes(stages)
    assert [(row.name, row.shape, row.dtype) for row in found.rows] == [
        ("layers.0.output", (7, 1), "bool"),
        ("layers.0.cache.inner.x", (2, 3), "float64"),
        ("layers.0.cache.y", (5,), "float32"),
        ("more.0", (1,), "float64"),
        ("more.1.0", (2,), "int64"),
    ]
    assert found.bytes == sum(row.bytes for row in found.rows) == 7 + 48 + 20 + 8 + 16
    assert check.shapes(np.zeros(3)).rows[0].name == "array"


def test_shared_memory_is_counted_once():
    base = np.zeros((1000, 10))
    other = np.zeros(5)
    found = check.shapes({"a": base, "b": base.reshape(10, 1000), "c": other, "d": base[100:200], "e": base})
    assert [row.shared for row in found.rows] == ["", "a", "", "a", "a"]
    assert found.bytes == base.nbytes + other.nbytes
    assert "5 arrays, 3 of them shared: 0.080 MB in memory" in str(found)
    assert "shared: a" in str(found)


def test_windows_that_overlap_count_with_the_memory_below_them():
    x = np.zeros(100)
    windows = np.lib.stride_tricks.sliding_window_view(x, 10)
    assert check.shapes({"w": windows}).bytes == 800
    assert check.shapes({"w": windows, "x": x}).bytes == 800
    halves = x[:60], x[40:]  # they overlap, and neither is the other's base
    assert check.shapes(halves).bytes == 800
    assert check.shapes(halves).rows[1].shared == "0"


def test_a_slice_of_columns_counts_with_what_it_has():
    x = np.zeros((100, 10))
    assert check.shapes({"left": x[:, :2]}).bytes == 100 * 2 * 8
    assert check.shapes({"left": x[:, :5], "right": x[:, 5:]}).bytes == x.nbytes


def test_each_group_of_arrays_counts_by_itself():
    memory = np.zeros(3000)
    columns, far = memory[:1000].reshape(100, 10)[:, :2], memory[1500:2000]
    assert check.shapes({"far": far, "columns": columns}).bytes == (200 + 500) * 8
    windows = np.lib.stride_tricks.sliding_window_view(memory[:100], 10)
    assert check.shapes({"far": far, "windows": windows}).bytes == (100 + 500) * 8


def test_neighbours_in_memory_are_not_shared():
    x = np.zeros(100)
    found = check.shapes({"a": x[:50], "b": x[50:], "nothing": x[:0]})
    assert [row.shared for row in found.rows] == ["", "", ""]
    assert found.bytes == x.nbytes


@pytest.fixture(scope="module")
def run():
    model = xlsr_ref.load()
    return model, model.forward(np.sin(np.arange(3200) * 0.3).astype(np.float32), 16000)[1]


def test_all_of_a_run(run):
    _, stages = run
    found = check.shapes(stages)
    rows = {row.name: row for row in found.rows}
    assert len(rows) == len(found.rows)  # every name once
    assert rows["wav2vec2.encoder.layers.3.output"].shape == (9, 192)
    assert rows["wav2vec2.encoder.layers.3.cache.attention.q_proj.x"].shape == (9, 192)
    k = rows["wav2vec2.encoder.layers.3.cache.attention.k_proj.x"]
    assert k.shared == "wav2vec2.encoder.layers.3.cache.attention.q_proj.x"  # the same array goes three ways


def test_parameters_are_marked_and_not_counted(run):
    model, stages = run
    plain, marked = check.shapes(stages), check.shapes(stages, model.params)
    parameters = [row for row in marked.rows if row.shared == "parameter"]
    assert all(".weight" in row.name or row.name.endswith((".g", ".v", ".layer_norm.bias")) for row in parameters), (
        parameters
    )
    assert len(parameters) > 50
    assert marked.bytes < plain.bytes
    assert [row.name for row in plain.rows] == [row.name for row in marked.rows]
