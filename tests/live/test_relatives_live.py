"""HuBERT, UniSpeech, UniSpeech-SAT and data2vec-audio against transformers: every hidden state, the output, gradients.

float64: 1e-9 of the largest value.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import xlsr_ref  # noqa: E402
from weights_tools import reference  # noqa: E402
from xlsr_ref.checkpoint.compare import relative_error  # noqa: E402
from xlsr_ref.ops.tree import flatten  # noqa: E402
from xlsr_ref.teach import check  # noqa: E402

RATE, EXACT = 16000, 1e-9
SMALL = {
    "conv_dim": (5, 8, 6), "conv_kernel": (10, 4, 3), "conv_stride": (5, 4, 2), "conv_bias": True, "hidden_size": 12,
    "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 11, "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2, "layer_norm_eps": 1e-3, "vocab_size": 7, "classifier_proj_size": 5,
    "id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}, "use_weighted_layer_sum": True,
    "tdnn_dim": (4, 5), "tdnn_kernel": (3, 1), "tdnn_dilation": (1, 1), "xvector_output_dim": 6,
}  # fmt: skip
FORMS = [("layer", True), ("group", False), ("layer", False)]
TASKS = {
    "Hubert": ["Model", "ForCTC", "ForSequenceClassification"],
    "UniSpeech": ["Model", "ForCTC", "ForSequenceClassification"],
    "UniSpeechSat": ["Model", "ForCTC", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector"],
    "Data2VecAudio": ["Model", "ForCTC", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector"],
}
CASES = [(family, task, *FORMS[2 if family == "Data2VecAudio" else i % 3])
         for family, tasks in TASKS.items() for i, task in enumerate(tasks)]  # fmt: skip


def theirs(family, task, norm, pre_norm, rng):
    own = {"conv_pos_kernel_size": 5} if family == "Data2VecAudio" else {"feat_extract_norm": norm}
    own |= {} if family == "Data2VecAudio" else {"do_stable_layer_norm": pre_norm}
    config = getattr(transformers, f"{family}Config")(**SMALL, **own, attn_implementation="eager")
    model = getattr(transformers, f"{family}{task}")(config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = reference.random_parameter(name, tuple(parameter.shape), rng)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return model.eval()


@pytest.mark.parametrize(("family", "task", "norm", "pre_norm"), CASES)
def test_a_relative_agrees_with_transformers(rng, tmp_path, family, task, norm, pre_norm):
    model = theirs(family, task, norm, pre_norm, rng)
    model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    ours = xlsr_ref.load(tmp_path, "float64")
    assert ours.report.kind == f"{family}{task}"
    waveform = rng.standard_normal(2500)
    y, stages = ours.forward(waveform, RATE)
    dy = rng.standard_normal(y.shape)
    dx, grads = ours.backward(dy, stages)

    x = torch.tensor(waveform[None], requires_grad=True)
    out = model.double()(x, output_hidden_states=True)
    wanted = (out.logits if hasattr(out, "logits") else out.last_hidden_state)[0]
    assert relative_error(y, wanted.detach().numpy()) < EXACT
    if out.hidden_states is not None:
        for state, wanted_state in zip(ours.hidden_states(waveform, RATE), out.hidden_states):
            assert relative_error(state, wanted_state[0].detach().numpy()) < EXACT
    wanted.backward(torch.from_numpy(dy))
    assert relative_error(dx, x.grad[0].numpy()) < EXACT
    reference_grads = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    comparison = check.compare(grads, reference_grads)
    largest = max(np.abs(array).max() for array in reference_grads.values())
    for row in comparison.rows:  # their true gradients are 0
        zero = row.name.endswith("k_proj.bias") or (norm == "group" and row.name.endswith("conv_layers.0.conv.bias"))
        assert (row.absolute / largest if zero else row.relative) < EXACT, f"\n{comparison}"
    flat = flatten(grads)
    assert not any(flat[name].any() for name in comparison.extra)  # a norm that a layer sum leaves out
    ours.save(tmp_path / "saved")
    np.testing.assert_array_equal(xlsr_ref.load(tmp_path / "saved", "float64").forward(waveform, RATE, False)[0], y)
