from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.network.prepare import prepare
from xlsr_ref.ops.conv import kernel_matrix, weight_norm
from xlsr_ref.params import flatten, nest

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def p():
    return xlsr_ref.load().params["wav2vec2"]


def test_what_is_prepared(p):
    prepared = prepare(p)
    for i, matrix in enumerate(prepared.matrices):
        weight = p["feature_extractor"]["conv_layers"][str(i)]["conv"]["weight"]  # (C_out, C_in, K)
        np.testing.assert_array_equal(matrix, kernel_matrix(weight))
        np.testing.assert_array_equal(matrix[: weight.shape[1]], weight[:, :, 0].T)  # the first tap comes first
    np.testing.assert_array_equal(prepared.positional[0], weight_norm(p["encoder"]["pos_conv_embed"]["conv"])[0])


@pytest.mark.parametrize("name", ["xlsr", "base", "bare"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_report_of_a_load_says_how_much_it_will_be(name, dtype):
    model = xlsr_ref.load(GOLDEN / name, dtype)
    prepared = prepare(model.params.get("wav2vec2", model.params))
    assert model.report.prepared_bytes == sum(array.nbytes for array in (*prepared.matrices, prepared.positional[0]))
    assert f"prepared {model.report.prepared_bytes / 2**20:,.1f} MiB" in str(model.report)


@pytest.mark.parametrize("name", ["xlsr", "odd"])
def test_what_is_prepared_changes_no_bit(name, rng):
    model, x = xlsr_ref.load(GOLDEN / name), rng.standard_normal(4000)
    logits = model.logits(x, 16000)
    p = model.params["wav2vec2"]
    model._known = prepare(p)._replace(positional=weight_norm(p["encoder"]["pos_conv_embed"]["conv"]))
    assert np.array_equal(model.logits(x, 16000), logits)


def test_it_is_used_again_while_the_parameters_are_the_same(p):
    prepared = prepare(p)
    assert prepare(p, prepared) is prepared
    replaced = nest(flatten(p) | {"feature_extractor.conv_layers.3.conv.weight": np.zeros((64, 64, 3), np.float32)})
    assert not prepare(replaced, prepared).matrices[3].any()
    writeable = nest({name: array.copy() for name, array in flatten(p).items()})
    prepared = prepare(writeable)
    writeable["feature_extractor"]["conv_layers"]["2"]["conv"]["weight"][:] = 0
    assert not prepare(writeable, prepared).matrices[2].any()


def test_the_layers_come_in_the_order_of_their_numbers(p):
    layers = p["feature_extractor"]["conv_layers"]
    backwards = {str(i): layers[str(i)] for i in reversed(range(len(layers)))}
    matrices = prepare(p | {"feature_extractor": {"conv_layers": backwards}}).matrices
    assert [matrix.shape for matrix in matrices] == [matrix.shape for matrix in prepare(p).matrices]
