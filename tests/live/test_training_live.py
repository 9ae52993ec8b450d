"""Training beside torch: the optimizer, the schedules, the first weights, and a hundred steps of both tasks.

In the hundred steps everything random is drawn by ours and put into theirs: dropout takes the place of
`torch.nn.functional.dropout`, masks that of `_compute_mask_indices`, Gumbel noise that of `exponential_`. Objectives
are in float32 in transformers, even in a double model: `Tensor.float` and the dtype of `log_softmax` do nothing here.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers.models.wav2vec2 import modeling_wav2vec2  # noqa: E402

from xlsr_ref.checkpoint.safetensors_file import write_arrays  # noqa: E402
from xlsr_ref.ops import adam as optim  # noqa: E402
from xlsr_ref.ops import threads  # noqa: E402
from xlsr_ref.ops.schedule import SCHEDULES, linear, tri_stage  # noqa: E402
from xlsr_ref.ops.tree import nest  # noqa: E402
from xlsr_ref.training import step  # noqa: E402
from xlsr_ref.training.recipe import Recipe, from_table  # noqa: E402
from xlsr_ref.training.start import Start, start_of  # noqa: E402
from xlsr_ref.wav2vec2.masks import Masks  # noqa: E402

# --- the optimizer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoupled", [True, False], ids=["AdamW", "Adam"])
def test_twenty_steps_of_the_optimizer(rng, decoupled):
    """With weight decay, clipping, two learning rates, and a parameter that has no gradient in between."""
    shapes = {"a": (5, 4, 3), "b": (6,), "head": (3, 7)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    theirs = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in params.items()}
    adam = optim.Adam((0.9, 0.98), 1e-6, 0.03, decoupled)
    groups = [{"params": [theirs["a"], theirs["b"]]}, {"params": [theirs["head"]], "lr": 0.05}]
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind(groups, lr=0.01, betas=adam.betas, eps=adam.eps, weight_decay=adam.weight_decay)
    state, clipped = optim.AdamState(), 0
    for n in range(20):
        grads = {name: rng.standard_normal(shape) * 3**-n for name, shape in shapes.items()}
        if 5 <= n < 9:
            del grads["b"]
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(grads[name]) if name in grads else None
        norm = optim.global_norm(grads)
        optim.clip(grads, norm, 0.2)
        clipped += norm > 0.2
        optim.step(params, grads, state, {"a": 0.01, "b": 0.01, "head": 0.05}, adam)
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs.values(), 0.2).item(), rel=1e-14)
        optimizer.step()
        for name, array in params.items():  # 1e-12: some twenty roundings of float64 in each step
            np.testing.assert_allclose(array, theirs[name].detach().numpy(), rtol=0, atol=1e-12)
    assert 0 < clipped < 20
    assert state.steps == {"a": 20, "b": 16, "head": 20}


# --- schedules -------------------------------------------------------------------------------------------------------


def rates_of(scheduler: Any, optimizer: Any, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def an_optimizer(rate: float) -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def test_linear_is_that_of_transformers_without_its_first_step_which_has_a_rate_of_0():
    N, peak, optimizer = 50, 3e-3, an_optimizer(3e-3)
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, 4, N + 1)
    theirs = rates_of(scheduler, optimizer, N + 1)
    assert theirs[0] == 0
    np.testing.assert_allclose([linear(n, N, peak) for n in range(1, N + 1)], theirs[1:], rtol=1e-12)


def test_tri_stage_is_torchs_linear_then_exponential():
    N, peak = 50, 3e-3
    ours = [tri_stage(n, N, peak) for n in range(1, N + 1)]
    w, h = 5, 20
    optimizer = an_optimizer(peak)
    up = rates_of(torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1, w), optimizer, w + h + 1)
    np.testing.assert_allclose(ours[: w + h], up[1:], rtol=1e-12)
    optimizer = an_optimizer(peak)
    down = rates_of(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.05 ** (1 / (N - w - h))), optimizer, N - w)
    np.testing.assert_allclose(ours[w + h :], down[1 : N - w - h + 1], rtol=1e-12)


# --- the start -------------------------------------------------------------------------------------------------------

WIDE = {
    "hidden_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 200,
    "conv_dim": [64] * 7, "conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 32, "num_conv_pos_embedding_groups": 8, "initializer_range": 0.06,
    "num_codevectors_per_group": 100, "codevector_dim": 64, "proj_codevector_dim": 48, "vocab_size": 40,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["Wav2Vec2ForPreTraining", "Wav2Vec2ForCTC"])
def test_new_weights_have_the_distributions_of_transformers(kind, tmp_path):
    torch.manual_seed(0)
    recipe = from_table({"model": {"config": WIDE}, "data": {"manifests": ["none.tsv"]}})
    letters = [chr(ord("À") + i) for i in range(37)]  # with the three others, 40 tokens
    ours = start_of(recipe, kind, letters, tmp_path).params
    theirs = getattr(transformers, kind)(transformers.Wav2Vec2Config(**WIDE)).named_parameters()
    theirs = {name: parameter.detach().numpy() for name, parameter in theirs}
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        if name.endswith("original0"):
            continue  # follows from the other
        if name.endswith("original1"):  # what is said in start.py: theirs keeps torch's own
            k = 1 / math.sqrt(math.prod(array.shape[1:]))
            assert 0.99 * k < np.abs(theirs[name]).max() <= k
            assert array.std() == pytest.approx(2 / math.sqrt(32 * 96), rel=0.02)  # 36,864 draws: five deviations
            continue
        assert array.shape == theirs[name].shape
        spread = 5 * math.sqrt(2 / array.size)  # five deviations of a difference of two means; of std it is less
        scale = theirs[name].std()
        assert abs(array.mean() - theirs[name].mean()) <= spread * scale, name
        assert abs(array.std() - scale) <= spread * scale, name
        if scale and array.size > 2500:  # mean of |x| in deviations: 0.80 if normal, 0.87 if uniform; known to 0.6 / √n
            shape, reference = (np.abs(each).mean() / each.std() for each in (array, theirs[name]))
            assert abs(shape - reference) <= 4 * 0.6 * math.sqrt(2 / array.size), name


# --- a hundred steps -------------------------------------------------------------------------------------------------

SIZES = {
    "conv_dim": [6, 5, 7], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2],
    "conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 14,
    "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 3, "layer_norm_eps": 1e-4,
    "num_codevector_groups": 2, "num_codevectors_per_group": 8, "codevector_dim": 6, "proj_codevector_dim": 9,
    "num_negatives": 5, "contrastive_logits_temperature": 0.3, "diversity_loss_weight": 0.3, "initializer_range": 0.3,
    "hidden_dropout": 0.1, "activation_dropout": 0.15, "attention_dropout": 0.2, "feat_proj_dropout": 0.05,
    "feat_quantizer_dropout": 0.05, "final_dropout": 0.1, "layerdrop": 0.0, "ctc_loss_reduction": "mean",
    "mask_time_prob": 0.3, "mask_time_length": 3,
}  # fmt: skip
LENGTHS, TEXTS, STEPS = (1300, 611, 980), ("ab ba", "c", "abcabc"), 100
AUGMENT = {
    "speeds": [0.9, 1.0, 1.1],
    "noise": [10.0, 20.0],
    "noise_chance": 0.5,
    "silence": 0.01,
    "silence_chance": 0.5,
}


def recipe_with(optimizer: str, schedule: str, peak: float, clip: float, **config: Any) -> Recipe:
    return from_table(
        {
            "model": {"config": SIZES | config},
            "data": {"manifests": ["none.tsv"]},
            "augment": AUGMENT,
            "optimizer": {"name": optimizer, "weight_decay": 0.02, "clip": clip, "head_rate": 2.0},
            "schedule": {"name": schedule, "peak": peak},
            "run": {"steps": STEPS},
            "pretrain": {"tau_decay": 0.99},
        }
    )


def begin(recipe: Recipe, kind: str, folder: Path) -> tuple[Start, Any]:
    """One start for both."""
    start = start_of(recipe, kind, TEXTS, folder, "float64")
    for name, text in start.files.items():
        (folder / name).write_text(text, "utf-8")
    write_arrays(folder / "model.safetensors", start.params)
    kinds = getattr(transformers, kind)
    return start, kinds.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").train()


def padded(arrays: Any, fill: Any = 0) -> Any:
    """Stacked, each filled up on its axes of time to the longest."""
    shape = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays)))
    whole = np.full((len(arrays), *shape), fill, arrays[0].dtype)
    for row, array in zip(whole, arrays):
        row[tuple(map(slice, array.shape))] = array
    return torch.from_numpy(whole)


def lengths_of(waveforms: list[np.ndarray]) -> Any:
    return padded([np.ones(len(waveform), int) for waveform in waveforms])


class Injected:
    """Takes the place of what transformers draws."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.factors: deque[Any] = deque()  # of dropout, in the order of the calls
        self.masks: deque[Any] = deque()
        self.exponential: Any = None
        monkeypatch.setattr(torch.nn.functional, "dropout", self._dropout)
        monkeypatch.setattr(modeling_wav2vec2, "_compute_mask_indices", lambda *_, **__: self.masks.popleft().numpy())
        monkeypatch.setattr(torch.Tensor, "exponential_", lambda x: x.copy_(self.exponential.reshape(x.shape)))
        monkeypatch.setattr(torch.Tensor, "float", lambda x: x)
        log_softmax = torch.nn.functional.log_softmax
        monkeypatch.setattr(torch.nn.functional, "log_softmax", lambda x, dim, dtype=None: log_softmax(x, dim))

    def _dropout(self, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        assert training
        if p == 0:
            return x
        factor = self.factors.popleft()
        assert factor.shape == x.shape
        assert set(factor.unique().tolist()) <= {0, 1 / (1 - p)}  # that it is this one's, not another's
        return x * factor

    def put(self, drawn: list[Masks], last: str) -> None:
        """Dropout of one step; ``last`` is what comes after the encoder: `final`, or `quantized` in pre-training."""
        self.factors.append(padded([one.projected for one in drawn]))
        encoders = [one.encoder for one in drawn]
        self.factors.append(padded([encoder.entering for encoder in encoders]))
        for blocks in zip(*(encoder.blocks for encoder in encoders)):
            self.factors.extend(padded(factors) for factors in zip(*blocks))
        self.factors.append(padded([getattr(one, last) for one in drawn]))


@pytest.fixture
def one_thread():
    """For the hundred steps: the arrays are small, and two programs' threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threads.use(1):
        yield
    torch.set_num_threads(before)


def tones(length: int, rng: np.random.Generator) -> np.ndarray:
    """A tone of another height every ten frames or so: what is masked can be told from what stands around it."""
    heights = np.repeat(rng.uniform(0.02, 0.5, length // 200 + 1), 200)[:length]  # turns per sample
    return np.sin(np.cumsum(2 * np.pi * heights)) + 0.05 * rng.standard_normal(length)


def train_both(
    recipe: Recipe, start: Start, theirs: Any, ours: Any, run_theirs: Any
) -> tuple[np.ndarray, np.ndarray, int]:
    """The losses of a hundred steps of ours and of theirs, and how many gradients were clipped."""
    part = recipe.optimizer
    adam = optim.Adam((part.betas[0], part.betas[1]), part.eps, part.weight_decay, part.name == "adamw")
    kind = torch.optim.AdamW if adam.decoupled else torch.optim.Adam
    head = {name: name.startswith("lm_head.") for name in start.params}
    groups = [
        {"params": [p for name, p in theirs.named_parameters() if head[name] == which], "head": which}
        for which in (False, True)
    ]
    optimizer = kind(
        [group for group in groups if group["params"]], betas=adam.betas, eps=adam.eps, weight_decay=adam.weight_decay
    )
    state, nested, clipped = optim.AdamState(), nest(start.params), 0
    rng = np.random.default_rng(5)
    waveforms = [tones(length, rng) for length in LENGTHS]
    vocabulary = {"|": 2, "a": 3, "b": 4, "c": 5}
    targets = [np.array([vocabulary[letter] for letter in text.replace(" ", "|")]) for text in TEXTS]
    losses: list[tuple[float, float]] = []
    for n in range(1, STEPS + 1):
        rate = SCHEDULES[recipe.schedule.name](n, STEPS, recipe.schedule.peak)
        batch = step.Batch(waveforms, targets, n, recipe.stage(n))
        numbers, grads = ours(nested, start.config, recipe, start.preprocessor, batch)
        norm = optim.global_norm(grads)
        optim.clip(grads, norm, part.clip)
        clipped += norm > part.clip
        optim.step(start.params, grads, state, {name: rate * (1 + head[name]) for name in grads}, adam)

        optimizer.zero_grad()
        loss = run_theirs()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), part.clip)
        for group in optimizer.param_groups:
            group["lr"] = rate * (2 if group["head"] else 1)
        optimizer.step()
        losses.append((numbers["loss"], loss.item()))
    mine, reference = np.array(losses).T
    return mine, reference, clipped


def assert_same_curve(mine: np.ndarray, reference: np.ndarray, start: Start, theirs: Any, learnt: float) -> None:
    error = np.abs(mine / reference - 1)
    print(f"largest error {error.max():.1e}, loss from {mine[0]:.3f} to {mine[-1]:.3f}")
    # a few roundings of float64, multiplied by what a hundred steps make of them: 1e-14 was seen
    assert error.max() <= 1e-11, error
    assert mine[-10:].mean() < learnt * mine[:10].mean()
    for name, parameter in theirs.named_parameters():
        reference = parameter.detach().numpy()
        if name.endswith("k_proj.bias"):
            continue  # its gradient is 0, and Adam makes whole steps of its rounding errors, with no effect
        assert np.abs(start.params[name] - reference).max() <= 1e-9 * np.abs(reference).max(), name


@pytest.mark.parametrize("stable", [True, False], ids=["pre-norm", "post-norm"])
def test_a_hundred_steps_of_fine_tuning(stable, tmp_path, monkeypatch, one_thread):
    config = {"mask_feature_prob": 0.2, "mask_feature_length": 2, "do_stable_layer_norm": stable}
    recipe = recipe_with("adamw", "tri-stage", 1e-2, 3.0, **config)
    start, theirs = begin(recipe, "Wav2Vec2ForCTC", tmp_path)
    injected, seen = Injected(monkeypatch), []
    ctc_losses = step.ctc_losses
    monkeypatch.setattr(step, "ctc_losses", lambda *args, **how: seen.append((args, how)) or ctc_losses(*args, **how))

    def run_theirs() -> Any:
        (waveforms, targets, *_), how = seen.pop()
        injected.put(how["masks"], "final")
        injected.masks.append(padded([one.frames for one in how["masks"]]))
        injected.masks.append(padded([one.channels for one in how["masks"]]))
        labels = padded(targets, -100)
        return theirs(padded(waveforms), attention_mask=lengths_of(waveforms), labels=labels).loss

    mine, reference, clipped = train_both(recipe, start, theirs, step.finetune_step, run_theirs)
    assert not injected.factors
    assert not injected.masks
    assert 0 < clipped < STEPS
    assert_same_curve(mine, reference, start, theirs, learnt=0.9)


def test_a_hundred_steps_of_pretraining(tmp_path, monkeypatch, one_thread):
    recipe = recipe_with("adam", "linear", 1e-2, 1.0)
    start, theirs = begin(recipe, "Wav2Vec2ForPreTraining", tmp_path)
    # transformers makes the codevectors in float32, whatever is asked for
    theirs.quantizer.codevectors.data = torch.tensor(start.params["quantizer.codevectors"])
    # equal codes are found by their floats in transformers: one row at a time, so that equal codes have equal bits
    project_q = theirs.project_q
    monkeypatch.setattr(project_q, "forward", lambda x: (x[..., None, :] * project_q.weight).sum(-1) + project_q.bias)
    injected, seen = Injected(monkeypatch), []
    pretrain_loss = step.pretrain_loss
    monkeypatch.setattr(
        step, "pretrain_loss", lambda *args, **how: seen.append((args, how)) or pretrain_loss(*args, **how)
    )

    def run_theirs() -> Any:
        (waveforms, _, _, spans, frames, gumbel, tau), how = seen.pop()
        injected.put(how["masks"], "quantized")
        injected.exponential = torch.exp(-padded(gumbel))
        theirs.set_gumbel_temperature(tau)
        masks = padded(spans)
        negatives = torch.zeros(*masks.shape, 5, dtype=torch.long)
        for i, each in enumerate(frames):
            negatives[i][masks[i]] = torch.from_numpy(each) + i * masks.shape[1]
        out = theirs(
            padded(waveforms),
            attention_mask=lengths_of(waveforms),
            mask_time_indices=masks,
            sampled_negative_indices=negatives,
        )
        return out.loss / masks.sum()

    mine, reference, clipped = train_both(recipe, start, theirs, step.pretrain_step, run_theirs)
    assert not injected.factors
    assert 0 < clipped < STEPS
    assert_same_curve(mine, reference, start, theirs, learnt=0.98)
