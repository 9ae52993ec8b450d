"""A nested dict of arrays, and the same flat, under dotted names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_checkpoints import refusal, weights

from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.wav2vec2.config import KINDS


def test_nest_splits_at_the_dots():
    assert nest({"a.b.0": 1, "a.b.1": 2, "c": 3}) == {"a": {"b": {"0": 1, "1": 2}}, "c": 3}


@given(st.lists(st.text("ab.", max_size=6), max_size=8, unique=True))
def test_flatten_undoes_nest(names):
    flat = {name: number for number, name in enumerate(sorted(names))}
    clash = any(other.startswith(name + ".") for name in names for other in names)
    if clash:
        assert "beginning of another" in refusal(nest, flat)
        assert "beginning of another" in refusal(nest, dict(reversed(flat.items())))
    else:
        assert flatten(nest(flat)) == flat


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_keeps_its_names_and_their_order(kind):
    flat = weights(kind=kind)
    again = flatten(nest(flat))
    assert list(again) == list(flat)
    assert all(again[name] is flat[name] for name in flat)
