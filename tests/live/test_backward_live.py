"""Gradients against torch's autograd, everything in double: the whole network, and CTC on random cases."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from ctc_batches import ctc_batch_loss, ctc_batch_loss_backward  # noqa: E402

import xlsr_ref  # noqa: E402
from xlsr_ref.losses.ctc import ctc_loss, ctc_loss_backward  # noqa: E402
from xlsr_ref.ops.tree import flatten  # noqa: E402
from xlsr_ref.teach import check  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden"
RATE = 16000
CLASSES = {"bare": "Wav2Vec2Model"}


def torch_model(name, dtype):
    kind = getattr(transformers, CLASSES.get(name, "Wav2Vec2ForCTC"))
    return kind.from_pretrained(GOLDEN / name, dtype=dtype, attn_implementation="eager").eval()


def normalised(waveform):
    return (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)


def zero_by_nature(name, config):
    """Whose true gradient is exactly 0: softmax ignores a shift of all keys, group norm one of a whole channel."""
    group = config.feat_extract_norm == "group" and name.endswith("conv_layers.0.conv.bias")
    return name.endswith("k_proj.bias") or group


def hold(comparison, config, tolerance):
    scale = max(row.absolute / row.relative for row in comparison.rows if row.relative)
    for row in comparison.rows:
        error = row.absolute / scale if zero_by_nature(row.name, config) else row.relative
        assert error < tolerance, f"\n{comparison}"
    assert {name.rpartition(".")[2] for name in comparison.missing} <= {"masked_spec_embed"}  # nothing was masked
    assert not comparison.extra


@pytest.mark.parametrize("keep", [True, "checkpoints"])
@pytest.mark.parametrize("name", ["xlsr", "base", "odd", "bare"])
def test_the_whole_network(rng, name, keep):
    waveform = rng.standard_normal(6000)
    ours, theirs = xlsr_ref.load(GOLDEN / name, "float64"), torch_model(name, torch.float64)
    y, stages = ours.forward(waveform, RATE, keep)
    dy = rng.standard_normal(y.shape)
    dwaveform, grads = ours.backward(dy, stages)

    x = torch.tensor(normalised(waveform)[None], requires_grad=True)
    theirs(x)[0][0].backward(torch.from_numpy(dy))
    reference = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    hold(check.compare(grads, reference), ours.config, 1e-9)
    assert check.compare({"x": dwaveform}, {"x": x.grad[0].numpy()}).worst < 1e-9


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-3)])
@pytest.mark.parametrize("name", ["xlsr", "base", "odd"])
def test_the_ctc_loss_of_a_model(rng, name, dtype, tolerance):
    waveform, targets = rng.standard_normal(6000).astype(dtype), [1, 2, 2, 3]
    ours, theirs = xlsr_ref.load(GOLDEN / name, dtype), torch_model(name, getattr(torch, dtype))
    loss, grads = ours.ctc_loss(waveform, RATE, targets)
    logits = theirs(torch.tensor(normalised(waveform)[None])).logits[0]
    reference = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1),
        torch.tensor(targets),
        torch.tensor(len(logits)),
        torch.tensor(len(targets)),
        blank=theirs.config.pad_token_id,
        reduction="sum",
    )
    reference.backward()
    assert loss == pytest.approx(reference.item(), rel=1e-10 if dtype == "float64" else 1e-5)
    theirs_grads = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    hold(check.compare(grads, theirs_grads), ours.config, tolerance)
    assert flatten(grads).keys() <= flatten(ours.params).keys()


def random_case(rng):
    T, V = int(rng.integers(1, 30)), int(rng.integers(2, 8))
    blank = int(rng.integers(V))
    S = T if rng.random() < 0.1 else int(rng.integers(0, T + 1))
    return rng.standard_normal((T, V)) * 3, rng.choice([id for id in range(V) if id != blank], S), blank


def test_ctc_on_random_cases(rng):
    for _ in range(300):
        logits, targets, blank = random_case(rng)
        x = torch.tensor(logits, requires_grad=True)
        lengths = torch.tensor(len(logits)), torch.tensor(len(targets))
        ids = torch.tensor(targets).long()
        theirs = torch.nn.functional.ctc_loss(x.log_softmax(-1), ids, *lengths, blank=blank, reduction="sum")
        ours, cache = ctc_loss(logits, targets, blank)
        if math.isinf(ours):
            assert math.isinf(theirs.item())
            continue
        assert ours == pytest.approx(theirs.item(), rel=1e-11, abs=1e-11)
        theirs.backward()
        np.testing.assert_allclose(ctc_loss_backward(1.0, cache), x.grad.numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("zero_infinity", [True, False])
def test_ctc_of_a_batch(rng, reduction, zero_infinity):
    T, V = (9, 6, 4), 5
    logits = [rng.standard_normal((t, V)) for t in T]
    targets = [[1, 2, 2], [], [4, 4, 4] if zero_infinity else [4]]  # three equal ones need five frames
    padded = torch.zeros(max(T), len(T), V, dtype=torch.float64)
    for i, each in enumerate(logits):
        padded[: len(each), i] = torch.from_numpy(each)
    padded.requires_grad_()
    theirs = torch.nn.functional.ctc_loss(
        padded.log_softmax(-1),
        torch.tensor([id for row in targets for id in row]),
        torch.tensor(T),
        torch.tensor([len(row) for row in targets]),
        reduction=reduction,
        zero_infinity=zero_infinity,
    )
    theirs.backward()
    ours, cache = ctc_batch_loss(logits, targets, 0, reduction=reduction, zero_infinity=zero_infinity)
    assert ours == pytest.approx(theirs.item(), rel=1e-12)
    assert cache.zeroed == int(zero_infinity)
    for i, gradient in enumerate(ctc_batch_loss_backward(1.0, cache)):
        np.testing.assert_allclose(gradient, padded.grad[: T[i], i].numpy(), rtol=0, atol=1e-12)
