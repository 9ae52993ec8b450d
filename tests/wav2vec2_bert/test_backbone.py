"""The network against recorded numbers of transformers, and every gradient against finite differences."""

from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.checkpoint.compare import relative_error
from xlsr_ref.losses.ctc import ctc_loss, ctc_loss_backward
from xlsr_ref.model.network import Network
from xlsr_ref.ops import rows, threads
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2_bert import relative_attention
from xlsr_ref.wav2vec2_bert.config import Config
from xlsr_ref.wav2vec2_bert.masks import draw_masks
from xlsr_ref.wav2vec2_bert.shapes import expected_shapes

GOLDEN = Path(__file__).parents[1] / "golden" / "bert"
MODELS = ["text", "adapter", "recording"]
EXACT = 1e-9  # of the largest value, in float64
PE = 1e-6  # the table of `relative` positions is float32 in transformers, and its last bit depends on who rounds
POSITIONS = ["relative_key", "relative", "rotary", None]
SIZES = {
    "model_type": "wav2vec2-bert", "feature_projection_input_dim": 3, "hidden_size": 4, "num_attention_heads": 2,
    "num_hidden_layers": 1, "intermediate_size": 3, "conv_depthwise_kernel_size": 3, "vocab_size": 4,
    "left_max_position_embeddings": 2, "right_max_position_embeddings": 1, "layer_norm_eps": 1e-3,
    "hidden_dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3, "feat_proj_dropout": 0.3,
    "conformer_conv_dropout": 0.3, "final_dropout": 0.3, "layerdrop": 0.0,
    "classifier_proj_size": 3, "id2label": {0: "a", 1: "b", 2: "c"},
    "tdnn_dim": [3, 4], "tdnn_kernel": [2, 1], "tdnn_dilation": [2, 1], "xvector_output_dim": 3,
}  # fmt: skip
ADAPTER = {"add_adapter": True, "output_hidden_size": 6, "use_intermediate_ffn_before_adapter": True}


def network_of(rng, task="ForCTC", **changes):
    config = Config.from_dict(SIZES | changes)
    shapes = expected_shapes(config, f"Wav2Vec2Bert{task}")
    return Network(nest({name: rng.standard_normal(shape) for name, shape in shapes.items()}), config)


@pytest.mark.parametrize("name", MODELS)
def test_transformers_numbers(name):
    recorded, model = np.load(GOLDEN / name / "stages.npz"), xlsr_ref.load(GOLDEN / name, "float64")
    np.testing.assert_array_equal(model.normalised(recorded["waveform"]), recorded["features"])
    x = recorded["features"].astype(np.float64)
    y, cache = model.network.forward(x)
    tolerance = PE if name == "adapter" else EXACT
    for i, state in enumerate(cache.backbone.encoder.states):
        assert relative_error(state, recorded[f"state {i}"]) < tolerance
    assert relative_error(y, recorded["output"]) < tolerance
    if "loss" in recorded:
        loss, ctc_cache = ctc_loss(y, [1, 2, 2], 0)
        assert abs(loss - recorded["loss"]) < tolerance * abs(loss)
        dx, _ = model.network.backward(ctc_loss_backward(1.0, ctc_cache), cache)
        assert relative_error(dx, recorded["gradient"]) < tolerance


def worst(network, x, masks, tolerance):
    """Hold all gradients of a pass with ``masks`` to finite differences."""
    p, c = network.params, network.config

    def forward(x, p):
        return Network(p, c).forward(x, True, masks)

    with threads.use(1):
        y, _ = network.forward(x)
        masked, _ = forward(x, p)
        assert np.abs(y - masked).max() > 1e-3  # the masks do something
        comparison = check.gradient(forward, network.backward, x, p, rng=np.random.default_rng(1), entries=12)
    largest = max(np.abs(row.absolute / row.relative) for row in comparison.rows if row.relative)
    for row in comparison.rows:  # a shift of all keys changes nothing: 0 but for rounding
        error = row.absolute / largest if row.name.endswith("linear_k.bias") else row.relative
        assert error < tolerance, f"\n{comparison}"
    assert not comparison.extra
    assert not comparison.missing


@pytest.mark.parametrize("adapter", [{}, ADAPTER], ids=["plain", "adapter"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_gradients_under_dropout_and_masks(rng, positions, adapter):
    network = network_of(rng, position_embeddings_type=positions, **adapter)
    x = rng.standard_normal((9, 3))
    masks = draw_masks(rng, 9, network.config, np.float64)._replace(frames=rng.random(9) < 0.4)
    worst(network, x, masks, 1e-6)


@pytest.mark.parametrize("task", ["ForSequenceClassification", "ForAudioFrameClassification", "ForXVector", "Model"])
def test_gradients_of_the_other_heads(rng, task):
    network = network_of(rng, task, use_weighted_layer_sum=True, hidden_act="gelu")
    network.params.pop("objective", None)  # the training loss of x-vectors, which takes no part
    x = rng.standard_normal((9, 3))
    masks = draw_masks(rng, 9, network.config, np.float64)._replace(frames=rng.random(9) < 0.4)
    worst(network, x, masks, 1e-6)


def test_a_dropped_block_hands_its_input_on_and_has_no_gradient(rng):
    network, x = network_of(rng, num_hidden_layers=2), rng.standard_normal((7, 3))
    masks = draw_masks(rng, 7, network.config, np.float64)
    masks = masks._replace(encoder=masks.encoder._replace(blocks=(masks.encoder.blocks[0], None)))
    y, cache = network.forward(x, True, masks)
    states = cache.backbone.encoder.states
    np.testing.assert_array_equal(states[1], states[2])
    _, grads = network.backward(np.ones_like(y), cache)
    flat = flatten(grads["wav2vec2_bert"]["encoder"]["layers"])
    assert not any(array.any() for name, array in flat.items() if name.startswith("1."))
    assert all(array.any() for name, array in flat.items() if name.startswith("0.") and "linear_k.bias" not in name)


def test_layer_drop_is_drawn_as_often_as_the_config_says(rng):
    config = Config.from_dict(SIZES | {"layerdrop": 0.25, "num_hidden_layers": 400} | dict.fromkeys(
        ("hidden_dropout", "attention_dropout", "activation_dropout", "conformer_conv_dropout"), 0))  # fmt: skip
    blocks = draw_masks(rng, 2, config, np.float32).encoder.blocks
    assert 0.15 < sum(block is None for block in blocks) / 400 < 0.35  # four standard deviations


@pytest.mark.parametrize("keep", ["checkpoints", True])
@pytest.mark.parametrize("positions", POSITIONS)
def test_a_long_recording_is_the_same_in_blocks_of_rows(rng, monkeypatch, positions, keep):
    network = network_of(rng, position_embeddings_type=positions, **ADAPTER)
    x = rng.standard_normal((23, 3))
    masks = draw_masks(rng, 23, network.config, np.float64)
    y, cache = network.forward(x, True, masks)
    dy = rng.standard_normal(y.shape)
    dx, grads = network.backward(dy, cache)
    monkeypatch.setattr(rows, "ROWS", 8)
    monkeypatch.setattr(relative_attention, "ROWS", 8)
    y8, cache8 = network.forward(x, keep, masks)
    np.testing.assert_allclose(y8, y, rtol=1e-12, atol=1e-12)
    dx8, grads8 = network.backward(dy, cache8)
    assert check.compare({"x": dx8}, {"x": dx}).worst < 1e-9
    comparison = check.compare(grads8, flatten(grads))
    assert all(row.relative < 1e-9 or row.name.endswith("linear_k.bias") for row in comparison.rows), f"\n{comparison}"


@pytest.mark.parametrize("positions", POSITIONS)
def test_threads_change_no_bit_and_float32_stays_float32(rng, positions):
    network = network_of(rng, position_embeddings_type=positions, hidden_size=48, num_attention_heads=4)
    single = nest({name: array.astype(np.float32) for name, array in flatten(network.params).items()})
    x = rng.standard_normal((300, 3)).astype(np.float32)
    results = [Network(single, network.config, threads=n).forward(x, False)[0] for n in (1, 2)]
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == np.float32
    assert relative_error(results[0], network.forward(x.astype(np.float64), False)[0]) < 1e-4


def test_what_is_kept_changes_no_bit(rng):
    network, x = network_of(rng, **ADAPTER), rng.standard_normal((9, 3))
    y, _ = network.forward(x, True)
    for keep in (False, "states", "outputs", "checkpoints"):
        np.testing.assert_array_equal(network.forward(x, keep)[0], y)


def test_the_released_model_has_580_million_parameters():
    config = Config.from_dict({"model_type": "wav2vec2-bert", "vocab_size": 32})
    sizes = {kind: sum(int(np.prod(shape)) for shape in expected_shapes(config, kind).values())
             for kind in ("Wav2Vec2BertModel", "Wav2Vec2BertForCTC")}  # fmt: skip
    assert sizes == {"Wav2Vec2BertModel": 580_493_120, "Wav2Vec2BertForCTC": 580_525_920}
