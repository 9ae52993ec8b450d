"""What stands above the encoder against transformers itself, on configs that nobody chose; and the goldens' script.

float64: 1e-9 of the largest value. float32: 1e-5, or 4 times as far as torch's own float32 is from its float64 where
that is more: then it is the model that loses the digits (a norm over four channels that are nearly equal).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import xlsr_ref  # noqa: E402
from weights_tools import record_heads, reference  # noqa: E402
from xlsr_ref.checkpoint.compare import assert_same, relative_error  # noqa: E402
from xlsr_ref.heads.xvector import fewest_frames  # noqa: E402
from xlsr_ref.wav2vec2.adapter import adapter_frames  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "heads"
RATE, SAMPLES = 16000, 3000
FLOAT64, FLOAT32, FLOAT32_SLACK = 1e-9, 1e-5, 4
CLASSIFIERS = ["Wav2Vec2ForSequenceClassification", "Wav2Vec2ForAudioFrameClassification", "Wav2Vec2ForXVector"]


@pytest.fixture(autouse=True)
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@st.composite
def configs(draw: st.DrawFn, kind: str, pre_norm: bool) -> dict[str, Any]:
    heads, tdnn, labels = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    hidden = heads * draw(st.integers(4, 7))
    of_tdnn = {
        "tdnn_dim": draw(st.lists(st.integers(2, 9), min_size=tdnn, max_size=tdnn)),
        "tdnn_kernel": draw(st.lists(st.integers(1, 4), min_size=tdnn, max_size=tdnn)),
        "tdnn_dilation": draw(st.lists(st.integers(1, 4), min_size=tdnn, max_size=tdnn)),
    }
    adapter = draw(st.booleans()) if kind == "Wav2Vec2ForXVector" else kind not in CLASSIFIERS
    return of_tdnn | {
        "conv_dim": (5, 8, 6),
        "conv_kernel": (10, 4, 3),
        "conv_stride": (5, 4, 2),
        "feat_extract_norm": draw(st.sampled_from(["group", "layer"])),
        "do_stable_layer_norm": pre_norm,
        "layer_norm_eps": draw(st.sampled_from([1e-5, 1e-3])),
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "intermediate_size": draw(st.integers(1, 20)),
        "num_conv_pos_embeddings": draw(st.integers(1, 9)),
        "num_conv_pos_embedding_groups": 1,
        "vocab_size": draw(st.integers(1, 9)),
        "id2label": {i: f"label {i}" for i in range(labels)},
        "label2id": {f"label {i}": i for i in range(labels)},
        "use_weighted_layer_sum": draw(st.booleans()),
        "classifier_proj_size": draw(st.integers(1, 9)),
        "xvector_output_dim": draw(st.integers(1, 9)),
        "adapter_attn_dim": draw(st.none() | st.integers(1, 6)) if pre_norm else None,
        "add_adapter": adapter,
        "num_adapter_layers": draw(st.integers(0, 3)),
        "adapter_kernel_size": draw(st.integers(1, 5)),
        "adapter_stride": draw(st.integers(1, 3)),
        "output_hidden_size": hidden if kind in CLASSIFIERS else draw(st.none() | st.integers(4, 9)),
    }


@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre-norm", "post-norm"])
@pytest.mark.parametrize("kind", [*CLASSIFIERS, "Wav2Vec2ForCTC", "Wav2Vec2Model"])
def test_any_head_and_adapter_agrees_with_transformers(kind, pre_norm, tmp_path_factory):
    @settings(
        max_examples=5,  # of each of the ten combinations
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(configs(kind, pre_norm), st.integers(0, 2**32 - 1))
    def agrees(config, seed):
        rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("model")
        record_heads.random_model(kind, config, rng).save_pretrained(folder)
        ours = xlsr_ref.load(folder, "float64")
        frames = (SAMPLES - ours.config.receptive_field) // ours.config.hop + 1
        if "layer_weights" not in ours.params:
            frames = adapter_frames(frames, ours.config)
        fewest = fewest_frames(config["tdnn_kernel"], config["tdnn_dilation"]) if kind == "Wav2Vec2ForXVector" else 1
        if frames < fewest:  # ours refuses, torch gives NaN or fails
            return
        waveform = rng.standard_normal(SAMPLES).astype(np.float32)
        truth, single = (theirs(folder, waveform, dtype) for dtype in (torch.float64, torch.float32))
        found = ours.forward(waveform, RATE, keep=False)[0]
        assert_same({"output": found}, {"output": truth[0]}, FLOAT64, kind)
        if kind == "Wav2Vec2ForXVector":
            assert_same({"embedding": ours.embed(waveform, RATE)}, {"embedding": truth[1]}, FLOAT64, kind)
        found = xlsr_ref.load(folder).forward(waveform, RATE, keep=False)[0]
        limit = max(FLOAT32, FLOAT32_SLACK * relative_error(single[0], truth[0]))
        assert_same({"output": found}, {"output": truth[0]}, limit, f"{kind} in float32")

    agrees()


def theirs(folder: Path, waveform: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """The output, and the embedding of an x-vector model."""
    model = record_heads.open_model(folder, dtype)
    with torch.no_grad():
        out = model(reference.input_values(waveform, dtype, reference.load_extractor(folder)))
    output = out.logits if hasattr(out, "logits") else out.last_hidden_state
    return output[0].numpy(), out.embeddings[0].numpy() if hasattr(out, "embeddings") else None


def test_labels_are_those_of_the_pipeline():
    """transformers' own audio-classification pipeline: the same labels, in the same order, and their scores."""
    folder = GOLDEN / "recording"
    with np.load(folder / "stages.npz") as arrays:
        waveform = arrays["waveform"]
    for problem in (None, "multi_label_classification"):
        model = record_heads.open_model(folder, torch.float32)
        model.config.problem_type = problem
        pipeline = transformers.pipeline(
            "audio-classification", model=model, feature_extractor=reference.load_extractor(folder)
        )
        expected = pipeline({"raw": waveform, "sampling_rate": RATE}, top_k=4)
        ours = xlsr_ref.load(folder)
        object.__setattr__(ours.config, "problem_type", problem)  # as config.json would say it
        found = ours.classify(waveform, RATE)
        assert list(found) == [one["label"] for one in expected]
        assert list(found.values()) == pytest.approx([one["score"] for one in expected], abs=1e-6)


def test_an_adapter_that_torch_wrote(tmp_path):
    """adapter.fra.bin, a pickle, in the place of adapter.fra.safetensors."""
    pytest.importorskip("xlsr_ref.checkpoint.read")
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(GOLDEN / "languages", tmp_path / "mms"))
    torch.save(load_file(folder / "adapter.fra.safetensors"), folder / "adapter.fra.bin")
    (folder / "adapter.fra.safetensors").unlink()
    model = xlsr_ref.load(folder, language="fra")
    assert model.report.files[-1] == "adapter.fra.bin"
    with np.load(folder / "stages.npz") as arrays:
        waveform, text = arrays["waveform"], str(arrays["text fra"])
    expected = xlsr_ref.load(GOLDEN / "languages", language="fra").logits(waveform, RATE)
    np.testing.assert_array_equal(model.logits(waveform, RATE), expected)
    assert model.transcribe(waveform, RATE).text == text


@pytest.mark.parametrize("name", record_heads.MODELS)
def test_the_goldens_are_what_the_script_writes(name, tmp_path):
    assert record_heads.main(["--only", name, "--target", str(tmp_path)]) == 0
    files = {path.name for path in (GOLDEN / name).iterdir()}
    assert files == {path.name for path in (tmp_path / name).iterdir()}
    for file in files - {"stages.npz"}:
        assert (tmp_path / name / file).read_bytes() == (GOLDEN / name / file).read_bytes()
    runs = []
    for folder in (tmp_path, GOLDEN):
        with np.load(folder / name / "stages.npz") as arrays:
            runs.append({key: arrays[key] for key in arrays if not key.startswith("float32_error")})
    texts = [{key: str(run.pop(key)) for key in list(run) if key.startswith("text ")} for run in runs]
    assert texts[0] == texts[1]
    assert list(runs[0]) == list(runs[1])
    assert_same(runs[0], runs[1], 1e-12, f"{name}, recorded anew")


def test_the_scripts_config_is_in_the_folder():
    for name, (kind, config) in record_heads.MODELS.items():
        written = json.loads((GOLDEN / name / "config.json").read_text())
        assert written["architectures"] == [kind]
        assert written["hidden_size"] == config["hidden_size"]
