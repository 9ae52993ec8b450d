"""XLSR-53's size with random weights, 10 s of audio: how far is our float32 from torch's, and from the truth?

The truth is torch in float64. Two float32 programs that add in different orders differ from each other without either
being wrong; the last test asks the better question, whether ours is further from the truth than theirs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


import xlsr_ref  # noqa: E402
from weights_tools import reference  # noqa: E402
from weights_tools.record_goldens import RELEASED, speech_like  # noqa: E402
from xlsr_ref.checkpoint.compare import assert_same  # noqa: E402
from xlsr_ref.measure.bench.random_model import SIZES  # noqa: E402

SECONDS = 10
XLSR_53: dict[str, Any] = RELEASED | SIZES["xlsr-53"] | {"vocab_size": 32}
NEEDED_BYTES = 9 * 2**30  # the float64 model holds 2.5 GiB, the float32 one 1.3, the file as much, and the activations

pytestmark = pytest.mark.skipif(
    hasattr(os, "sysconf") and os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < NEEDED_BYTES,
    reason="needs 9 GiB of memory",
)


class Runs(NamedTuple):
    ours: np.ndarray  # (T, V) logits in float32
    our_states: list[np.ndarray]
    torch32: np.ndarray
    torch32_states: list[np.ndarray]
    torch64: np.ndarray


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder: Path = tmp_path_factory.mktemp("full")
    waveform = speech_like(16000 * SECONDS, np.random.default_rng(53))
    extractor = transformers.Wav2Vec2FeatureExtractor()
    with torch.random.fork_rng():
        torch.manual_seed(53)
        model = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**XLSR_53)).eval()
    model.save_pretrained(folder)
    single = reference.run_reference(model, reference.input_values(waveform, torch.float32, extractor), False)
    model.double()
    double = reference.run_reference(model, reference.input_values(waveform, torch.float64, extractor), False)
    del model
    loaded = xlsr_ref.load(folder)
    ours = loaded.logits(waveform, 16000)
    our_states = loaded.hidden_states(waveform, 16000)
    del loaded  # its arrays are views of the file that is removed here: a full-size model should not outlive its test
    (folder / "model.safetensors").unlink()
    return Runs(ours, our_states, single.output, single.hidden_states, double.output)


def rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(difference.astype(np.float64)))))


def test_logits_agree_with_torch_float32(runs: Runs) -> None:
    assert runs.ours.dtype == np.float32
    worst = np.abs(runs.ours - runs.torch32).max()
    print(f"largest difference of float32 logits: {worst:.3g} (logits up to {np.abs(runs.torch32).max():.3g})")
    assert worst <= 1e-4


def test_every_hidden_state_agrees_with_torch_float32(runs: Runs) -> None:
    assert len(runs.our_states) == XLSR_53["num_hidden_layers"] + 1
    ours = {f"hidden state {i}": state for i, state in enumerate(runs.our_states)}
    theirs = {f"hidden state {i}": state for i, state in enumerate(runs.torch32_states)}
    assert_same(ours, theirs, 1e-3, f"full size, {SECONDS} s, float32")


def test_float32_is_as_close_to_the_truth_as_torch(runs: Runs) -> None:
    ours, theirs = rms(runs.ours - runs.torch64), rms(runs.torch32 - runs.torch64)
    print(f"root-mean-square distance of float32 logits to float64: ours {ours:.3g}, torch {theirs:.3g}")
    assert ours <= 1.2 * theirs
