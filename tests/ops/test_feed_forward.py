"""The feed-forward, with any activation, against its equation, its gradients, and in blocks of rows."""

import numpy as np
import pytest

from xlsr_ref.ops import rows
from xlsr_ref.ops.activation import ACTIVATIONS
from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward
from xlsr_ref.teach import check


@pytest.fixture
def p(rng):
    def linear(outputs, inputs):
        return {"weight": rng.standard_normal((outputs, inputs)), "bias": rng.standard_normal(outputs)}

    return {"intermediate_dense": linear(7, 4), "output_dense": linear(4, 7)}


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_the_equation_and_its_gradients(rng, p, act):
    x, masks = rng.standard_normal((5, 4)), (rng.random((5, 7)), rng.random((5, 4)))
    wide = x @ p["intermediate_dense"]["weight"].T + p["intermediate_dense"]["bias"]
    active = ACTIVATIONS[act][0](wide)[0] * masks[0]
    wanted = (active @ p["output_dense"]["weight"].T + p["output_dense"]["bias"]) * masks[1]
    np.testing.assert_allclose(feed_forward(x, p, *masks, act)[0], wanted, atol=1e-13)
    forward = lambda x, p: feed_forward(x, p, *masks, act)  # noqa: E731
    assert check.gradient(forward, feed_forward_backward, x, p, rng=rng).worst < 1e-6


def test_blocks_of_rows_change_nothing(rng, p, monkeypatch):
    x, masks, dy = (
        rng.standard_normal((23, 4)),
        (rng.random((23, 7)), rng.random((23, 4))),
        rng.standard_normal((23, 4)),
    )
    whole, cache = feed_forward(x, p, *masks, "swish")
    dx, grads = feed_forward_backward(dy, cache)
    monkeypatch.setattr(rows, "ROWS", 8)
    y, cache = feed_forward(x, p, *masks, "swish")
    np.testing.assert_allclose(y, whole, atol=1e-13)
    found = feed_forward_backward(dy, cache)
    assert check.compare({"x": found[0]} | found[1], {"x": dx} | grads).worst < 1e-12
