"""Every stage of the forward pass against what transformers computed with the same weights (recorded: no torch here).

float64: 1e-12 of a stage's largest value. Both programs add the same terms in other orders, which moves a few of the
last digits of float64 (1e-16), and no wrong formula stays below 1e-12.
float32: the recordings say how far torch's own float32 is from float64 at each stage, which is how ill-conditioned the
stage is; ours may be FLOAT32_SLACK times as far, because the largest of a few thousand rounding errors is a matter of
luck within a small factor.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from weights_tools.record_goldens import bundled_clips, weights_digest
from xlsr_ref import audio
from xlsr_ref.checkpoint.compare import assert_same, departures, sketches
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.ops.tree import flatten

GOLDEN = Path(__file__).parents[1] / "golden"
DATA = Path(xlsr_ref.__file__).parent / "data"
FAMILIES = sorted(folder.parent.name for folder in GOLDEN.glob("*/stages.npz"))
RATE = 16000
FLOAT64 = 1e-12
FLOAT32_SLACK = 4


class Golden:
    """One recorded model: its waveform, and what transformers made of it."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / name
        with np.load(self.folder / "stages.npz") as arrays:
            self.arrays = dict(arrays)
        self.waveform = self.arrays["waveform"]
        self.stages = self.under("stage ")
        self.attention = self.under("attention ")
        self.hidden_states = self.under("hidden_state ")

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}


@pytest.fixture(params=FAMILIES)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def outputs(stages: dict) -> dict[str, np.ndarray]:
    return {name: stage.output for name, stage in stages.items()}


def test_every_family_is_recorded() -> None:
    """Both families and both mixtures of them: a norm, a bias or an order that is never run is never tested."""
    configs = [json.loads((GOLDEN / name / "config.json").read_text()) for name in FAMILIES]
    seen = {(c["feat_extract_norm"], c["conv_bias"], c["do_stable_layer_norm"]) for c in configs}
    assert {("layer", True, True), ("group", False, False), ("group", True, True), ("layer", False, False)} <= seen
    assert {c["num_conv_pos_embeddings"] % 2 for c in configs} == {0, 1}


# --- stage by stage --------------------------------------------------------------------------------------------------


def test_every_stage_in_float64(golden: Golden) -> None:
    model = xlsr_ref.load(golden.folder, dtype="float64")
    output, stages = model.forward(golden.waveform, RATE, keep=True)
    assert list(stages) == list(golden.stages), "the stages' names, in the order in which they are computed"
    assert_same(outputs(stages), golden.stages, FLOAT64, golden.folder.name)
    assert_same({"output": output}, {"output": golden.arrays["output"]}, FLOAT64, golden.folder.name)


def test_every_stage_in_float32(golden: Golden) -> None:
    output, stages = xlsr_ref.load(golden.folder).forward(golden.waveform, RATE, keep=True)
    limits = {name: FLOAT32_SLACK * float(error) for name, error in golden.under("float32_error ").items()}
    assert {stage.output.dtype for stage in stages.values()} == {output.dtype} == {np.dtype("float32")}
    assert_same(outputs(stages), golden.stages, limits, f"{golden.folder.name} in float32")


def test_hidden_states(golden: Golden) -> None:
    """L+1 of them; [0] enters block 0; the final norm of a pre-norm model is not among them."""
    model = xlsr_ref.load(golden.folder, dtype="float64")
    states = model.hidden_states(golden.waveform, RATE)
    assert len(states) == model.config.num_hidden_layers + 1
    ours = {str(i): state for i, state in enumerate(states)}
    assert_same(ours, golden.hidden_states, FLOAT64, f"{golden.folder.name}: hidden states")
    last = golden.arrays["last_hidden_state"]
    assert (departures({"last": states[-1]}, {"last": last}, FLOAT64) == []) != model.config.do_stable_layer_norm


def test_attention_weights(golden: Golden) -> None:
    model = xlsr_ref.load(golden.folder, dtype="float64")
    _, stages = model.forward(golden.waveform, RATE, keep=True)
    ours = {
        f"{name}.attention": stage.cache.attention.heads.weights for name, stage in stages.items() if ".layers." in name
    }
    assert_same(ours, golden.attention, FLOAT64, f"{golden.folder.name}: attention weights")
    for weights in ours.values():
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-14)  # T terms of at most 1: some ulps


def test_loudness_offset_and_integers_do_not_matter() -> None:
    """x, 3x + 0.1 and int16(32767 x) say the same; 1e-3 is for the 1e-7 beside the variance, and for 16 bits."""
    golden = Golden("xlsr")
    model = xlsr_ref.load(golden.folder)
    x = golden.waveform / np.abs(golden.waveform).max()
    expected = model.logits(x, RATE)
    np.testing.assert_allclose(model.logits(3 * x + np.float32(0.1), RATE), expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(model.logits((32767 * x).astype(np.int16), RATE), expected, rtol=0, atol=1e-3)


# --- the same weights under other names ------------------------------------------------------------------------------


def rewritten(golden: Golden, folder: Path, tensors: dict[str, np.ndarray], **config: object) -> xlsr_ref.Model:
    """The golden's model with other tensors in its file and some of its config changed."""
    old = json.loads((golden.folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(old | config))
    write_arrays(folder / "model.safetensors", tensors)
    return xlsr_ref.load(folder, dtype="float64")


def tensors_of(golden: Golden) -> dict[str, np.ndarray]:
    return dict(read_arrays(golden.folder / "model.safetensors"))


@pytest.mark.parametrize("name", ["xlsr", "base", "odd"])
def test_logits_do_not_depend_on_prefix_spelling_or_extra_tensors(name: str, tmp_path: Path) -> None:
    golden = Golden(name)
    tensors = tensors_of(golden)
    expected = xlsr_ref.load(golden.folder, dtype="float64").logits(golden.waveform, RATE)
    bare = {path.removeprefix("wav2vec2."): array for path, array in tensors.items()}
    classic = {
        path.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): array
        for path, array in tensors.items()
    }
    extra = {"quantizer.codevectors": np.ones((1, 6, 4), np.float32), "project_q.bias": np.ones(3, np.float32)}
    assert set(bare) != set(tensors) != set(classic)
    for variant in (bare, classic, tensors | extra):
        model = rewritten(golden, tmp_path, variant)
        assert set(flatten(model.params)) == set(variant) - set(extra), "names are the file's own"
        assert sorted(model.report.surplus) == sorted(set(variant) & set(extra))
        np.testing.assert_array_equal(model.logits(golden.waveform, RATE), expected)


@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
def test_a_bare_model_does_not_depend_on_prefix_or_a_surplus_head(prefix: str, tmp_path: Path) -> None:
    golden = Golden("bare")
    head = {"lm_head.weight": np.ones((4, 18), np.float32), "lm_head.bias": np.ones(4, np.float32)}
    model = rewritten(golden, tmp_path, {prefix + path: array for path, array in tensors_of(golden).items()} | head)
    output, stages = model.forward(golden.waveform, RATE)
    assert sorted(model.report.surplus) == sorted(head)
    assert_same({"last": output}, {"last": golden.arrays["output"]}, FLOAT64, "bare model")
    assert list(stages) == [prefix + path for path in golden.stages]


def test_a_pretrained_model_gives_the_last_hidden_state(tmp_path: Path) -> None:
    """What XLSR-53 itself is: the same network, no lm_head, a quantizer that the forward pass does not use."""
    golden = Golden("xlsr")
    old = json.loads((golden.folder / "config.json").read_text())
    groups, entries, width, shared = 2, 3, 8, 10
    pretraining = {
        "quantizer.codevectors": np.ones((1, groups * entries, width // groups), np.float32),
        "quantizer.weight_proj.weight": np.ones((groups * entries, old["conv_dim"][-1]), np.float32),
        "quantizer.weight_proj.bias": np.ones(groups * entries, np.float32),
        "project_hid.weight": np.ones((shared, old["hidden_size"]), np.float32),
        "project_hid.bias": np.ones(shared, np.float32),
        "project_q.weight": np.ones((shared, width), np.float32),
        "project_q.bias": np.ones(shared, np.float32),
    }
    body = {path: array for path, array in tensors_of(golden).items() if not path.startswith("lm_head.")}
    config = {
        "architectures": ["Wav2Vec2ForPreTraining"],
        "num_codevector_groups": groups,
        "num_codevectors_per_group": entries,
        "codevector_dim": width,
        "proj_codevector_dim": shared,
    }
    model = rewritten(golden, tmp_path, body | pretraining, **config)
    output, _ = model.forward(golden.waveform, RATE)
    assert_same({"last": output}, {"last": golden.arrays["last_hidden_state"]}, FLOAT64, "pretrained model")
    with pytest.raises(xlsr_ref.CannotTranscribeError, match="lm_head"):
        model.logits(golden.waveform, RATE)


# --- the bundled model -----------------------------------------------------------------------------------------------

needs_bundled = pytest.mark.skipif(not (GOLDEN / "bundled.json").exists(), reason="no recording of the bundled model")
STALE = "the bundled weights are not the recorded ones: run python -m weights_tools.record_goldens --bundled"


@needs_bundled
def test_bundled_text_is_transformers_text() -> None:
    recorded = json.loads((GOLDEN / "bundled.json").read_text(encoding="utf-8"))
    assert recorded["model.safetensors sha256"] == weights_digest(DATA / "small-ctc"), STALE
    paths = [clip["path"] for clip in bundled_clips(DATA)]
    assert paths == list(recorded["text"]), STALE
    transcripts = xlsr_ref.load().transcribe([DATA / path for path in paths])
    assert {path: transcript.text for path, transcript in zip(paths, transcripts)} == recorded["text"]


@needs_bundled
def test_every_stage_of_the_bundled_model() -> None:
    """Sketches of every stage on two clips: 16 x 8 signed sums of all its numbers (checkpoint/compare.py)."""
    with np.load(GOLDEN / "bundled.npz") as arrays:
        recorded = dict(arrays)
    model = xlsr_ref.load(dtype="float64")
    paths = sorted({key.split(" ")[0] for key in recorded})
    assert len(paths) == 2
    for path in paths:
        waveform = audio.read(DATA / path, model.preprocessor.sampling_rate, "float64")
        _, stages = model.forward(waveform, model.preprocessor.sampling_rate)
        reference = {key.split(" ")[1]: numbers for key, numbers in recorded.items() if key.startswith(f"{path} ")}
        assert list(stages) == list(reference)
        assert_same(sketches(outputs(stages)), reference, FLOAT64, path)
