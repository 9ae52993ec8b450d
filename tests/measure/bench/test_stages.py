"""The stages: their work adds up to that of summary.py, and the clock that stands in for them changes nothing."""

from __future__ import annotations

import sys
import threading
from importlib import import_module

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import AudioError
from xlsr_ref.measure.bench import stages
from xlsr_ref.measure.bench.random_model import SIZES
from xlsr_ref.ops import attention, norm
from xlsr_ref.ops.stage_table import ONLY_PRETRAINING, total
from xlsr_ref.wav2vec2 import block
from xlsr_ref.wav2vec2.config import CLASSIFIERS, KINDS, Config
from xlsr_ref.wav2vec2.summary import stage_table

XLSR_53 = Config.from_dict(SIZES["xlsr-53"])
BASE = Config.from_dict(SIZES["base"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("config", [XLSR_53, BASE])
@pytest.mark.parametrize("samples", [400, 32000])
def test_the_stages_sum_to_the_total_of_the_summary(config, kind, samples):
    of_all = sum(work.flops for work in stages.work(config, kind, samples).values())
    rows = stage_table(config, kind, samples)
    of_heads = sum(row.flops for row in rows if not row.prefix.startswith("wav2vec2.") and row.level == 0)
    of_all += of_heads if kind in CLASSIFIERS else 0  # which no stage is
    assert of_all == stages.all_flops(config, kind, samples) == total(rows, without=ONLY_PRETRAINING)[1]


def test_the_work_of_each_stage_of_xlsr_53():
    """T = 99 frames of 2 s, worked out here from the sizes."""
    T, C, F, N, V = 99, 1024, 4096, 24, 32
    found = stages.work(XLSR_53, "Wav2Vec2ForCTC", 32000)
    assert found["projection"].flops == 2 * T * 512 * C
    assert found["positional convolution"].flops == 2 * T * C * 64 * 128
    assert found["attention: q, k, v, out"].flops == N * 4 * 2 * T * C * C
    assert found["attention: softmax(q kᵀ) v"].flops == N * 2 * 2 * T * T * C
    assert found["feed-forward"].flops == N * 2 * 2 * T * C * F
    assert found["head"].flops == 2 * T * C * V
    assert found["norms"].flops == 0
    assert found["feature encoder"].flops / 1e9 == pytest.approx(9.8, abs=0.05)


def test_the_bytes_that_must_move():
    T, C, F, N, V = 99, 1024, 4096, 24, 32
    found = {stage: work.bytes for stage, work in stages.work(XLSR_53, "Wav2Vec2ForCTC", 32000).items()}
    assert found["feature encoder"] == 4 * (4_210_176 + 32000 + T * 512)
    assert found["projection"] == 4 * (512 * C + C + 2 * 512 + T * (512 + C))
    assert found["positional convolution"] == 4 * (C * 64 * 128 + 128 + C + 2 * T * C)
    assert found["attention: q, k, v, out"] == 4 * N * (4 * (C * C + C) + T * C * (1 + 3) + T * C * (1 + 1))
    assert found["attention: softmax(q kᵀ) v"] == 4 * N * 4 * T * C
    assert found["feed-forward"] == 4 * N * (2 * C * F + C + F + 2 * T * C)
    assert found["norms"] == 4 * 49 * (2 * C + 2 * T * C)
    assert found["head"] == 4 * (C * V + V + T * C + T * V)


def test_intensity():
    assert stages.Work(30, 10).intensity == 3
    assert stages.Work(0, 0).intensity == 0


def test_without_a_head():
    assert "head" not in stages.work(XLSR_53, "Wav2Vec2ForPreTraining", 32000)


def test_too_few_samples():
    with pytest.raises(AudioError, match="399 samples make no frame"):
        stages.work(XLSR_53, "Wav2Vec2ForCTC", 399)


# --- the clock -------------------------------------------------------------------------------------------------------


def test_every_stage_takes_time_and_no_bit_changes(tiny_model, noise):
    model = xlsr_ref.load(tiny_model)
    alone = model.forward(noise, 16000, keep=False)[0]
    with stages.watch() as spent:
        watched = model.forward(noise, 16000, keep=False)[0]
    np.testing.assert_array_equal(watched, alone)
    assert list(spent) == list(stages.FUNCTIONS)
    assert all(seconds > 0 for seconds in spent.values())


def test_afterwards_everything_is_as_it_was(tiny_model, noise):
    def everything():
        modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("xlsr_ref.")]
        return {(module.__name__, name): id(value) for module in modules for name, value in vars(module).items()}

    xlsr_ref.load(tiny_model).forward(noise, 16000, keep=False)
    before = everything()
    watching = stages.watch()
    watching.__enter__()
    assert everything() != before
    assert not watching.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert everything() == before


@pytest.fixture
def ticks(monkeypatch):
    """Every look at the clock takes one second."""
    now = iter(range(1000))
    monkeypatch.setattr(stages.time, "perf_counter", lambda: next(now))


def test_a_stage_inside_another_is_not_counted_twice(ticks, rng):
    x = rng.standard_normal((5, 4))
    linear = {"weight": np.eye(4), "bias": np.zeros(4)}
    with stages.watch() as spent:
        attention.attention(x, dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), linear), 2)
    # attention looks at 0 and at 3, its heads at 1 and 2 in between
    assert spent["attention: softmax(q kᵀ) v"] == 1
    assert spent["attention: q, k, v, out"] == 3 - 1


def test_a_norm_belongs_to_the_stage_around_it(ticks, rng):
    p = {"weight": np.ones(4), "bias": np.zeros(4)}
    x = rng.standard_normal((5, 4))
    with stages.watch() as spent:
        norm.layer_norm(x, p)
        assert spent["norms"] == 1
        from xlsr_ref.ops.feature_projection import feature_projection

        feature_projection(x, {"layer_norm": p, "projection": {"weight": np.eye(4), "bias": np.zeros(4)}}, 1e-5)
    assert (spent["norms"], spent["projection"]) == (1, 1)


def test_other_threads_are_not_watched(rng):
    x, p = rng.standard_normal((5, 4)), {"weight": np.ones(4), "bias": np.zeros(4)}
    with stages.watch() as spent:
        other = threading.Thread(target=lambda: block.layer_norm(x, p))
        other.start()
        other.join()
    assert spent["norms"] == 0


def test_a_stage_that_fails_is_over(ticks, rng):
    with stages.watch() as spent:
        with pytest.raises(KeyError):
            norm.layer_norm(rng.standard_normal((5, 4)), {})
        norm.layer_norm(rng.standard_normal((5, 4)), {"weight": np.ones(4), "bias": np.zeros(4)})
    assert spent["norms"] == 2


def test_the_stages_are_found_at_home():
    """A function that was renamed or moved fails here, and not in a benchmark."""
    for home, name in stages.FUNCTIONS.values():
        assert getattr(import_module(home), name).__module__ == home
