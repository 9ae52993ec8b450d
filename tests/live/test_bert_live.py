"""Wav2Vec2-BERT against transformers itself, on configs that nobody chose: features, every hidden state, each head,
and the gradients.

float64: 1e-9 of the largest value. Features: 2e-6 in float32, where transformers rounds. The table of `relative`
positions is float32 in transformers whatever the model; its last bit depends on who computes a sine, so it is compared
by itself, and the rest with one table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import xlsr_ref  # noqa: E402
from weights_tools import reference_bert as reference  # noqa: E402
from xlsr_ref import audio  # noqa: E402
from xlsr_ref.audio import LogMel  # noqa: E402
from xlsr_ref.checkpoint.compare import relative_error  # noqa: E402
from xlsr_ref.heads.xvector import embedding, fewest_frames  # noqa: E402
from xlsr_ref.losses.ctc import ctc_loss, ctc_loss_backward  # noqa: E402
from xlsr_ref.model.network import Network  # noqa: E402
from xlsr_ref.ops.position_tables import sinusoids  # noqa: E402
from xlsr_ref.ops.tree import flatten, nest  # noqa: E402
from xlsr_ref.teach import check  # noqa: E402
from xlsr_ref.wav2vec2_bert.config import Config  # noqa: E402

FLOAT64, FLOAT32, FEATURES = 1e-9, 1e-5, 2e-6
CLASSIFIERS = [f"Wav2Vec2BertFor{task}" for task in ("SequenceClassification", "AudioFrameClassification", "XVector")]
KINDS = ["Wav2Vec2BertModel", "Wav2Vec2BertForCTC", *CLASSIFIERS]
POSITIONS = ["relative_key", "relative", "rotary", None]
SMALL = {"phases": [Phase.explicit, Phase.generate], "deadline": None, "derandomize": True,
         "suppress_health_check": [HealthCheck.too_slow]}  # fmt: skip


@pytest.fixture(autouse=True)
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@st.composite
def configs(draw: st.DrawFn, kind: str, positions: str | None) -> dict[str, Any]:
    heads, tdnn, labels = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 4))
    hidden = heads * 2 * draw(st.integers(1, 4))
    adapter = draw(st.booleans()) and kind not in CLASSIFIERS[:2]
    output = draw(st.sampled_from([hidden, heads * draw(st.integers(2, 6))])) if kind not in CLASSIFIERS else hidden
    return {
        "feature_projection_input_dim": draw(st.integers(2, 12)),
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "intermediate_size": draw(st.integers(1, 20)),
        "hidden_act": draw(st.sampled_from(["swish", "silu", "relu", "gelu"])),
        "layer_norm_eps": draw(st.sampled_from([1e-5, 1e-3])),
        "position_embeddings_type": positions,
        "left_max_position_embeddings": draw(st.integers(0, 9)),
        "right_max_position_embeddings": draw(st.integers(0, 9)),
        "rotary_embedding_base": draw(st.sampled_from([10000, 50])),
        "max_source_positions": draw(st.sampled_from([5, 100])),
        "conv_depthwise_kernel_size": draw(st.sampled_from([1, 3, 7, 31])),
        "add_adapter": adapter,
        "use_intermediate_ffn_before_adapter": adapter and draw(st.booleans()),
        "num_adapter_layers": draw(st.integers(1, 2)),
        "adapter_kernel_size": draw(st.integers(1, 4)),
        "adapter_stride": draw(st.integers(1, 3)),
        "adapter_act": draw(st.sampled_from(["relu", "gelu", "swish"])),
        "output_hidden_size": output,
        "vocab_size": draw(st.integers(2, 9)),
        "id2label": {i: f"label {i}" for i in range(labels)},
        "label2id": {f"label {i}": i for i in range(labels)},
        "use_weighted_layer_sum": draw(st.booleans()),
        "classifier_proj_size": draw(st.integers(1, 9)),
        "tdnn_dim": draw(st.lists(st.integers(2, 9), min_size=tdnn, max_size=tdnn)),
        "tdnn_kernel": draw(st.lists(st.integers(1, 3), min_size=tdnn, max_size=tdnn)),
        "tdnn_dilation": draw(st.lists(st.integers(1, 3), min_size=tdnn, max_size=tdnn)),
        "xvector_output_dim": draw(st.integers(1, 9)),
    }


def both(kind: str, values: dict[str, Any], T: int, rng: np.random.Generator) -> tuple[Network, Any, np.ndarray]:
    """A network of ours and transformers' model with the same weights in float64, and features (T, F)."""
    theirs = reference.random_model(kind, values, rng).double()
    if values["position_embeddings_type"] == "relative":
        pe = sinusoids(T, values["hidden_size"]).astype(np.float64)
        reference.set_position_table(theirs, pe)
    config = Config.from_dict(values | {"model_type": "wav2vec2-bert", "architectures": [kind]})
    ours = Network(nest({name: p.detach().numpy() for name, p in theirs.named_parameters()}), config)
    return ours, theirs, rng.standard_normal((T, config.feature_projection_input_dim))


def enough(config: Config, kind: str, T: int) -> bool:
    """Are there as many frames as the adapter and the head need? Ours refuses fewer, torch gives NaN or fails."""
    needed = fewest_frames(config.tdnn_kernel, config.tdnn_dilation) if kind == "Wav2Vec2BertForXVector" else 1
    return (config.sums_layers(kind) and needed <= T) or config.adapter_frames(T) >= needed


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_config_agrees_with_transformers(kind, positions):
    @settings(max_examples=4, **SMALL)
    @given(configs(kind, positions), st.integers(1, 40), st.integers(0, 2**32 - 1))
    def agrees(values, T, seed):
        ours, theirs, x = both(kind, values, T, np.random.default_rng(seed))
        if not enough(ours.config, kind, T):
            return
        with torch.no_grad():
            found = theirs(torch.from_numpy(x)[None], output_hidden_states=True)
        wanted = (found.logits if hasattr(found, "logits") else found.last_hidden_state)[0].numpy()
        y, cache = ours.forward(x, "states")
        states = cache.backbone.encoder.states
        if found.hidden_states is not None:
            assert len(states) == len(found.hidden_states)
            for state, theirs_state in zip(states, found.hidden_states):
                assert relative_error(state, theirs_state[0].numpy()) < FLOAT64
        assert relative_error(y, wanted) < FLOAT64
        if kind == "Wav2Vec2BertForXVector":
            of_a_voice = embedding(ours.context(x), ours.params, ours.config.tdnn_kernel, ours.config.tdnn_dilation)[0]
            assert relative_error(of_a_voice, found.embeddings[0].numpy()) < FLOAT64

    agrees()


def single(params: dict) -> dict:
    return nest({name: array.astype(np.float32) for name, array in flatten(params).items()})


@pytest.mark.parametrize("positions", POSITIONS)
def test_float32_agrees_as_closely_as_torch_does(rng, positions):
    values = TRAINED | {"position_embeddings_type": positions}
    ours, theirs, x = both("Wav2Vec2BertForCTC", values, 70, rng)
    with torch.no_grad():
        truth = theirs(torch.from_numpy(x)[None]).logits[0].numpy()
    y, _ = Network(single(ours.params), ours.config).forward(x.astype(np.float32), False)
    assert relative_error(y, truth) < FLOAT32


TRAINED = {
    "feature_projection_input_dim": 6, "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2,
    "intermediate_size": 11, "left_max_position_embeddings": 5, "right_max_position_embeddings": 2,
    "conv_depthwise_kernel_size": 5, "vocab_size": 6, "add_adapter": True, "output_hidden_size": 9,
    "use_intermediate_ffn_before_adapter": True, "num_adapter_layers": 1,
}  # fmt: skip


@pytest.mark.parametrize("keep", [True, "checkpoints"])
@pytest.mark.parametrize("adapter", [False, True], ids=["plain", "adapter"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_the_gradients_of_ctc_through_everything(rng, positions, adapter, keep):
    values = TRAINED | {"position_embeddings_type": positions, "add_adapter": adapter}
    values["use_intermediate_ffn_before_adapter"] = adapter
    ours, theirs, x = both("Wav2Vec2BertForCTC", values, 23, rng)
    targets = [1, 2, 2, 3]
    logits, cache = ours.forward(x, keep)
    loss, ctc_cache = ctc_loss(logits, targets, 0)
    dx, grads = ours.backward(ctc_loss_backward(1.0, ctc_cache), cache)

    features = torch.tensor(x[None], requires_grad=True)
    log_probs = theirs(features).logits[0].log_softmax(-1)  # their own loss rounds these to float32
    lengths = torch.tensor(len(log_probs)), torch.tensor(len(targets))
    reference_loss = torch.nn.functional.ctc_loss(log_probs, torch.tensor(targets), *lengths, reduction="sum")
    reference_loss.backward()
    assert abs(loss - reference_loss.item()) < FLOAT64 * abs(loss)
    wanted = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    wanted.pop("wav2vec2_bert.masked_spec_embed", None)
    comparison = check.compare(grads, wanted)
    largest = max(np.abs(array).max() for array in wanted.values())
    for row in comparison.rows:  # softmax ignores a shift of all keys: the true gradient of their bias is 0
        error = row.absolute / largest if row.name.endswith("linear_k.bias") else row.relative
        assert error < FLOAT64, f"\n{comparison}"
    assert not comparison.missing
    assert not comparison.extra
    assert check.compare({"x": dx}, {"x": features.grad[0].numpy()}).worst < FLOAT64


@pytest.mark.parametrize(("T", "C"), [(1, 4), (9, 6), (300, 64)])
def test_the_table_of_relative_positions(T, C):
    """To the last bit of float32 of each frequency and each sine, which torch may round otherwise: 2⁻²³ of them."""
    config = transformers.Wav2Vec2BertConfig(hidden_size=C, num_attention_heads=1, position_embeddings_type="relative")
    module = transformers.models.wav2vec2_bert.modeling_wav2vec2_bert.Wav2Vec2BertRelPositionalEmbedding(config)
    theirs = module(torch.zeros(1, T, C))[0].numpy()
    distance, w = np.arange(T - 1, -T, -1)[:, None], 10000.0 ** (-np.arange(0, C, 2) / C)
    last_bit = 2**-23 * (1 + 2 * np.repeat(abs(distance) * w, 2, axis=1))  # of the sine; of frequency and product
    assert (np.abs(sinusoids(T, C) - theirs) <= last_bit).all()


# --- features --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, **SMALL)
@given(
    st.integers(560, 9000),
    st.sampled_from([{}, {"padding_value": 1.0}, {"num_mel_bins": 40}, {"stride": 1}, {"sampling_rate": 8000}]),
    st.sampled_from([1.0, 1e-3]),
    st.integers(0, 2**32 - 1),
)
def test_features_agree(samples, options, loudness, seed):
    theirs = transformers.SeamlessM4TFeatureExtractor(feature_size=options.get("num_mel_bins", 80), **options)
    x = (loudness * 0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
    wanted = theirs(x, sampling_rate=theirs.sampling_rate, return_tensors="np")["input_features"][0]
    ours = LogMel(**options)
    found = ours.normalised(x)
    assert found.dtype == wanted.dtype == np.float32
    assert found.shape == wanted.shape
    assert relative_error(found, wanted) < FEATURES


def test_an_odd_last_row_counts_as_without_a_mask_and_transformers_with_one_leaves_it_out(rng):
    """Both readings of transformers: the row of the odd last frame is a row like any other without the attention mask,
    which is ours; with the mask its keys are not looked at, and what it is itself goes nowhere."""
    values = TRAINED | {"feature_projection_input_dim": 160, "add_adapter": False, "output_hidden_size": 12}
    values |= {"use_intermediate_ffn_before_adapter": False, "position_embeddings_type": "relative_key"}
    ours, theirs, _ = both("Wav2Vec2BertForCTC", values, 9, rng)
    x = (0.1 * rng.standard_normal(400 + 160 * 8)).astype(np.float32)  # 9 frames
    made = transformers.SeamlessM4TFeatureExtractor()(x, sampling_rate=16000, return_tensors="pt")
    features, mask = made["input_features"].double(), made["attention_mask"]
    assert (features.shape[1], int(mask.sum())) == (5, 4)
    with torch.no_grad():
        without, masked = theirs(features).logits[0].numpy(), theirs(features, attention_mask=mask).logits[0].numpy()
    rows = LogMel().normalised(x).astype(np.float64)
    y, _ = ours.forward(rows, False)
    assert relative_error(y, without) < FLOAT64
    assert relative_error(ours.forward(rows[:4], False)[0], masked[:4]) < FLOAT64
    assert relative_error(masked[:4], without[:4]) > 1e-3


# --- text ------------------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "golden" / "bert" / "text"


def test_the_texts_are_those_of_transformers():
    """Of all bundled clips, in float32, as a processor without an attention mask and the greedy text give them."""
    model = transformers.Wav2Vec2BertForCTC.from_pretrained(GOLDEN, dtype=torch.float32).eval()
    extractor = transformers.SeamlessM4TFeatureExtractor.from_pretrained(GOLDEN)
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(GOLDEN)
    ours = xlsr_ref.load(GOLDEN)
    for clip in list(audio.bundled_clips())[:12]:
        waveform = audio.read(clip.path, 16000)
        features = extractor(waveform, sampling_rate=16000, return_tensors="pt")["input_features"]
        with torch.no_grad():
            logits = model(features).logits[0].numpy()
        assert relative_error(ours.logits(waveform, 16000), logits) < FLOAT32
        assert ours.transcribe(waveform, 16000).text == tokenizer.decode(logits.argmax(axis=1).tolist())


def test_a_saved_model_is_read_by_transformers(tmp_path, rng):
    ours = xlsr_ref.load(GOLDEN)
    ours.save(tmp_path / "saved")
    model = transformers.AutoModelForCTC.from_pretrained(tmp_path / "saved").eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "saved")
    waveform = rng.uniform(-0.3, 0.3, 16000).astype(np.float32)
    features = extractor(waveform, sampling_rate=16000, return_tensors="pt")["input_features"]
    with torch.no_grad():
        assert relative_error(ours.logits(waveform, 16000), model(features).logits[0].numpy()) < FLOAT32
