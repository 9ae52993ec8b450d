"""Pre-training against transformers' own Wav2Vec2ForPreTraining: losses and every gradient, on a padded batch.

Theirs pads three unequal utterances and masks the padding; ours takes a list. Both get the same spans, negatives and
Gumbel noise. transformers computes its objectives in float32 even in a double model, so for the tight comparison
`torch.Tensor.float` is made to do nothing.
1e-9 of a tensor's largest gradient: float64 keeps 16 digits, and the longest chain here loses about three.
Unpatched, 1e-5: the objectives' float32 has seven digits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import xlsr_ref  # noqa: E402
from xlsr_ref.audio import normalise  # noqa: E402
from xlsr_ref.losses.masking import draw_negatives, draw_spans  # noqa: E402
from xlsr_ref.ops.tree import flatten  # noqa: E402
from xlsr_ref.teach import check  # noqa: E402
from xlsr_ref.wav2vec2.quantizer import gumbel_noise  # noqa: E402

RATE, LENGTHS, TAU = 16000, (1300, 611, 980), 0.7
FLOAT64, FLOAT32_OBJECTIVES = 1e-9, 1e-5
SIZES = {
    "conv_dim": (6, 5, 7), "conv_kernel": (10, 3, 2), "conv_stride": (5, 2, 2), "num_feat_extract_layers": 3,
    "conv_bias": True, "feat_extract_norm": "layer",
    "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 14,
    "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 3, "layer_norm_eps": 1e-4,
    "num_codevector_groups": 2, "codevector_dim": 6, "proj_codevector_dim": 9,
    "mask_time_prob": 0.5, "contrastive_logits_temperature": 0.13, "diversity_loss_weight": 0.3,
    "hidden_dropout": 0.0, "activation_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0,
    "feat_quantizer_dropout": 0.0, "final_dropout": 0.0, "layerdrop": 0.0,
}  # fmt: skip


class Batch(NamedTuple):
    waveforms: list[np.ndarray]  # (L,)
    spans: list[np.ndarray]  # (T,)
    negatives: list[np.ndarray]  # (n, K)
    gumbel: list[np.ndarray]  # (T, G, V)


def theirs_in(folder: Path, stable: bool, codes: int) -> Any:
    """A random model in train mode, saved to ``folder``. No parameter is left at the zero or one of its beginning."""
    torch.manual_seed(7)
    settings = SIZES | {"do_stable_layer_norm": stable, "num_codevectors_per_group": codes}
    model = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.copy_(torch.randn(parameter.shape) / fan_in**0.5)
            if "layer_norm.weight" in name or "original0" in name:
                parameter.copy_(1 + 0.2 * torch.randn(parameter.shape))
        model.quantizer.codevectors.copy_(torch.randn(model.quantizer.codevectors.shape))
    model.save_pretrained(folder)
    model.set_gumbel_temperature(TAU)
    return model.double().train()


def batch_for(model: Any, rng: np.random.Generator) -> Batch:
    waveforms = [rng.standard_normal(length) for length in LENGTHS]
    frames = [model._get_feat_extract_output_lengths(length).item() for length in LENGTHS]
    spans = [draw_spans(T, 0.1, 4, rng, min_masks=2) for T in frames]
    negatives = [draw_negatives(mask, 5, rng) for mask in spans]
    G, V = model.config.num_codevector_groups, model.config.num_codevectors_per_group
    return Batch(waveforms, spans, negatives, [gumbel_noise(rng, (T, G, V)) for T in frames])


def padded(arrays: list[np.ndarray], fill: Any = 0) -> np.ndarray:
    """Stacked, each filled up to the longest."""
    whole = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), fill, arrays[0].dtype)
    for row, array in zip(whole, arrays):
        row[: len(array)] = array
    return whole


def run_theirs(model: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, np.ndarray]]:
    exponential = torch.from_numpy(np.exp(-padded(batch.gumbel)))  # torch takes −ln of such draws
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda empty: empty.copy_(exponential.reshape(empty.shape)))
    spans = padded(batch.spans)
    negatives = np.zeros((*spans.shape, 5), int)
    for i, frames in enumerate(batch.negatives):
        negatives[i][spans[i]] = frames + i * spans.shape[1]
    out = model(
        torch.from_numpy(padded([normalise(waveform) for waveform in batch.waveforms])),
        attention_mask=torch.from_numpy(padded([np.ones(len(waveform), int) for waveform in batch.waveforms])),
        mask_time_indices=torch.from_numpy(spans),
        sampled_negative_indices=torch.from_numpy(negatives),
    )
    model.zero_grad()
    out.loss.backward()
    return out, {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def model_and_batch(folder: Path, stable: bool, codes: int = 40) -> tuple[Any, xlsr_ref.Model, Batch]:
    theirs = theirs_in(folder, stable, codes)
    model = xlsr_ref.load(folder, dtype="float64")
    return theirs, model, batch_for(theirs, np.random.default_rng(3))


def assert_same_losses(losses: Any, out: Any, limit: float) -> None:
    n = losses.masked_frames
    assert losses.total == pytest.approx(out.loss.item(), rel=limit)
    assert losses.contrastive == pytest.approx(out.contrastive_loss.item(), rel=limit)
    assert losses.diversity * n == pytest.approx(out.diversity_loss.item(), rel=limit)
    assert losses.perplexity.sum() == pytest.approx(out.codevector_perplexity.item(), rel=limit)


def assert_same_gradients(grads: dict[str, Any], reference: dict[str, np.ndarray], limit: float) -> None:
    """Relative to each tensor's largest; but k_proj.bias, which softmax ignores, has no gradient at all."""
    mine = flatten(grads)
    assert mine.keys() == reference.keys()
    zero = [name for name in reference if name.endswith("k_proj.bias")]
    for name in zero:
        scale = np.abs(reference[name.replace("k_proj", "q_proj")]).max()
        assert np.abs(mine[name]).max() <= FLOAT64 * scale, name
    ours, theirs = ({name: side[name] for name in reference if name not in zero} for side in (mine, reference))
    compared = check.compare(ours, theirs)
    assert compared.worst <= limit, str(compared)


@pytest.mark.parametrize("checkpoints", [False, True], ids=["kept", "checkpoints"])
@pytest.mark.parametrize("stable", [True, False], ids=["pre-norm", "post-norm"])
def test_losses_and_gradients_are_those_of_transformers(stable, checkpoints, tmp_path, monkeypatch):
    theirs, model, batch = model_and_batch(tmp_path, stable)
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)
    out, reference = run_theirs(theirs, batch, monkeypatch)
    waveforms, *draws = batch
    losses, grads = model.pretrain_loss(waveforms, RATE, *draws, TAU, checkpoints=checkpoints)
    assert_same_losses(losses, out, FLOAT64)
    assert_same_gradients(grads, reference, FLOAT64)


def test_negatives_of_the_same_code_are_left_out_by_both(tmp_path, monkeypatch):
    """With 3 · 3 possible codes one negative in nine is the positive's equal."""
    theirs, model, batch = model_and_batch(tmp_path, True, codes=3)
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)
    # transformers finds equal codes by their floats, which are equal bits only if the product of a row does not depend
    # on the rows around it: one row at a time, so that it cannot
    monkeypatch.setattr(theirs.project_q, "forward", row_by_row(theirs.project_q))
    out, reference = run_theirs(theirs, batch, monkeypatch)
    waveforms, *draws = batch
    losses, grads = model.pretrain_loss(waveforms, RATE, *draws, TAU)
    assert_same_losses(losses, out, FLOAT64)
    assert_same_gradients(grads, reference, FLOAT64)


def row_by_row(linear: Any) -> Any:
    def forward(x: Any) -> Any:
        return ((x[..., None, :] * linear.weight).sum(-1) + linear.bias).to(x.dtype)

    return forward


def test_with_the_objectives_in_float32_as_transformers_has_them(tmp_path, monkeypatch):
    theirs, model, batch = model_and_batch(tmp_path, True)
    out, reference = run_theirs(theirs, batch, monkeypatch)
    waveforms, *draws = batch
    losses, grads = model.pretrain_loss(waveforms, RATE, *draws, TAU)
    assert_same_losses(losses, out, FLOAT32_OBJECTIVES)
    assert_same_gradients(grads, reference, FLOAT32_OBJECTIVES)
