"""Exercises: the CTC loss, forward and backward (losses/ctc.py), and the best path through it (text/align.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.losses import ctc
from xlsr_ref.ops import lattice
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise
from xlsr_ref.text import align as alignment

FLOAT32 = 2e-5  # a sum of logarithms over some twelve frames, each good to 1e-7 of its size, and an exp at the end

NEAR_1000 = 1e-3  # float32 knows a number near 1000 to 6e-5: so much may x − ln Σ exp x be off
LARGE = "large logits"


def ctc_loss(logits, targets, blank):
    """The CTC loss: minus the logarithm of the probability of a text, summed over every way to lay it out in time.

        l' = - l₁ - l₂ - … -                         the targets with a blank (-) around each: 2S + 1 places
        α[0, s] = y[0, l'_s] for the first two places, 0 elsewhere          y = softmax(logits), frame by frame
        α[t, s] = y[t, l'_s] (α[t-1, s] + α[t-1, s-1] + α[t-1, s-2])
                  the last only if l'_s is no blank and not equal to l'_{s-2}
        loss = -ln(α[T-1, 2S] + α[T-1, 2S-1])        the last two places

    logits is (T, V); targets is a list of S tokens, none of them the blank; S may be 0; blank is a token, any of the V.
    Return one number, infinite where the targets do not fit. Keep logarithms of α: recordings are long.
    Source: Graves et al. 2006, §4.1.
    """
    log_y = logits - logits.max(axis=1, keepdims=True)
    log_y = log_y - np.log(np.exp(log_y).sum(axis=1, keepdims=True))
    places = [blank]
    for target in targets:
        places += [target, blank]
    alpha = np.full(len(places), -np.inf)
    alpha[:2] = log_y[0, places[:2]]
    for t in range(1, len(log_y)):
        before = alpha.copy()
        for s in range(len(places)):
            ways = before[s]
            if s >= 1:
                ways = np.logaddexp(ways, before[s - 1])
            if s >= 2 and places[s] != blank and places[s] != places[s - 2]:
                ways = np.logaddexp(ways, before[s - 2])
            alpha[s] = ways + log_y[t, places[s]]
    return -float(np.logaddexp.reduce(alpha[-2:]))


def ctc_loss_backward(dloss, logits, targets, blank):
    """The backward pass of the CTC loss: from the loss to the logits.

        dlogits[t, k] = dloss · (y[t, k] - Σ over the places s with l'_s = k of γ[t, s])          y = softmax(logits)
        γ[t, s] = α[t, s] β[t, s] / p: how probable place s is at frame t, given the targets
        β[T-1, s] = 1 for the last two places, 0 elsewhere
        β[t, s] = y[t+1, l'_s] β[t+1, s] + y[t+1, l'_{s+1}] β[t+1, s+1] + y[t+1, l'_{s+2}] β[t+1, s+2]
                  the last only where α may step from s to s+2

    dloss is a number; logits (T, V), targets (S,) and blank are as in ctc_loss, and the targets fit.
    Return dlogits (T, V), in the dtype of logits. Every row sums to 0: why? Source: Graves et al. 2006, eq. 16.
    """
    wide = logits.astype(np.float64)
    log_y = wide - wide.max(axis=1, keepdims=True)
    log_y = log_y - np.log(np.exp(log_y).sum(axis=1, keepdims=True))
    places = [blank]
    for target in targets:
        places += [target, blank]
    T, n = len(log_y), len(places)
    skip = [s >= 2 and places[s] != blank and places[s] != places[s - 2] for s in range(n)]
    alpha, beta = np.full((T, n), -np.inf), np.full((T, n), -np.inf)
    alpha[0, :2] = log_y[0, places[:2]]
    beta[-1, -2:] = 0
    for t in range(1, T):
        for s in range(n):
            from_places = [s] + [s - 1] * (s >= 1) + [s - 2] * skip[s]
            alpha[t, s] = np.logaddexp.reduce(alpha[t - 1, from_places]) + log_y[t, places[s]]
    for t in range(T - 2, -1, -1):
        for s in range(n):
            to_places = [s] + [s + 1] * (s + 1 < n) + [s + 2] * (s + 2 < n and skip[s + 2])
            beta[t, s] = np.logaddexp.reduce(beta[t + 1, to_places] + log_y[t + 1, [places[i] for i in to_places]])
    log_p = np.logaddexp.reduce(alpha[-1, -2:])
    gamma = np.exp(alpha + beta - log_p)
    dlogits = np.exp(log_y)
    for s in range(n):
        dlogits[:, places[s]] -= gamma[:, s]
    return (dloss * dlogits).astype(logits.dtype)


def frames_needed(targets):
    """How many frames CTC needs for a text: one for each target, and a blank between two equal neighbours.

        T ≥ S + number of targets that are equal to the one before

    targets is a list of S whole numbers. Return a whole number. Source: Graves et al. 2006, §3.1; notebook 09.
    """
    repeats = sum(targets[i] == targets[i - 1] for i in range(1, len(targets)))
    return len(targets) + repeats


def align(log_probs, targets, blank):
    """Forced alignment: the likeliest way to lay a known text over the frames (Viterbi).

        v[0, s] = log_probs[0, l'_s] for the first two places, -∞ elsewhere          l': the targets with blanks around
        v[t, s] = log_probs[t, l'_s] + max(v[t-1, s], v[t-1, s-1], v[t-1, s-2])
                  the last only if l'_s is no blank and not equal to l'_{s-2}
        begin at the better of the last two places, and go back along the steps that were taken

    log_probs is (T, V), logarithms of probabilities; targets is a list of S tokens that fit into T frames.
    Return the token at every frame, (T,) whole numbers: collapsed, they are the targets. (No two ways are equally
    likely here.) Source: Viterbi 1967, on the lattice of Graves et al. 2006.
    """
    places = [blank]
    for target in targets:
        places += [target, blank]
    T, n = len(log_probs), len(places)
    v, came = np.full((T, n), -np.inf), np.zeros((T, n), int)
    v[0, :2] = log_probs[0, places[:2]]
    for t in range(1, T):
        for s in range(n):
            steps = [0] + [1] * (s >= 1) + [2] * (s >= 2 and places[s] != blank and places[s] != places[s - 2])
            came[t, s] = max(steps, key=lambda step: v[t - 1, s - step])
            v[t, s] = v[t - 1, s - came[t, s]] + log_probs[t, places[s]]
    s = n - 1 if n == 1 or v[-1, n - 1] >= v[-1, n - 2] else n - 2
    path = []
    for t in range(T - 1, -1, -1):
        path.append(places[s])
        s -= came[t, s]
    return np.array(path[::-1])


def _arguments(rng: np.random.Generator, T: int, V: int, targets: list[int], blank: int, scale: float = 1.5) -> tuple:
    return scale * rng.standard_normal((T, V)), targets, blank


def _large(rng: np.random.Generator, T: int, V: int, targets: list[int], blank: int) -> tuple:
    """Logits near 1000 and near −1000, with ordinary differences: exp overflows only where no maximum is taken out."""
    logits, *others = _arguments(rng, T, V, targets, blank)
    return (logits + np.resize([1000.0, -1000.0], T)[:, None], *others)


def _tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _arguments(rng, 8, 5, [1, 3, 2], 0),
        "one frame, one target": _arguments(rng, 1, 4, [2], 0),
        "no targets": _arguments(rng, 4, 3, [], 0),
        "equal neighbours": _arguments(rng, 7, 4, [2, 2, 3, 3], 0),
        "equal, with another between": _arguments(rng, 7, 4, [1, 3, 1], 0),
        "blank is the last token": _arguments(rng, 7, 5, [0, 2, 2], 4),
        "blank is in the middle": _arguments(rng, 6, 5, [4, 0, 1], 2),
        "as many frames as needed": _arguments(rng, 5, 5, [1, 1, 2, 4], 3),
        LARGE: _large(rng, 7, 4, [1, 2, 3], 0),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = _tries(rng)
    tries["too few frames"] = _arguments(rng, 2, 4, [1, 2, 3], 0)
    tries["one frame too few for equal neighbours"] = _arguments(rng, 2, 4, [1, 1], 0)
    tries["long"] = _arguments(rng, 250, 4, [1, 2], 0, scale=6.0)
    return cases(tries, FLOAT32, {LARGE: NEAR_1000})


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {name: (float(rng.uniform(0.5, 2)), *each) for name, each in _tries(rng).items()}
    return cases(tries, FLOAT32, {LARGE: NEAR_1000})


def _aligned(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {}
    for name, (logits, targets, blank) in _tries(rng).items():
        if name != LARGE:
            tries[name] = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), targets, blank)
    return cases(tries, 1e-10)  # whole numbers: nothing to round, in float32 neither


def _texts(rng: np.random.Generator) -> tuple[Case, ...]:
    tries: dict[str, tuple] = {
        "usual": (rng.integers(1, 3, 12).tolist(),),
        "no target": ([],),
        "one target": ([3],),
        "all equal": ([2] * int(rng.integers(2, 6)),),
        "equal in pairs": ([1, 1, 2, 2, 1, 1],),
        "equal, with another between": ([1, 2, 1, 2],),
        "zeros": ([0, 0, 1],),
    }
    return cases(tries)


_PLACES: dict[str, tuple[str, ...] | list[tuple[str, ...]]] = {
    "blank is taken to be 0": ("places = [blank]", "blank = 0\n    places = [blank]"),
    "blank is taken to be the last token": ("places = [blank]", "blank = log_y.shape[1] - 1\n    places = [blank]"),
    "log-softmax forgotten": ("log_y = log_y - np.log(np.exp(log_y).sum(axis=1, keepdims=True))", "log_y = logits"),
}

CTC_LOSS = exercise(
    ctc_loss,
    ctc.ctc_loss,
    module="losses.ctc",
    notebook="09",
    title="The CTC loss",
    battery=_forward,
    returns=("loss",),
    mistakes={
        "missing skip transition": ("if s >= 2 and", "if False and"),
        "skip across repeated letters allowed": (" and places[s] != places[s - 2]", ""),
        "skip over a letter, from blank to blank, allowed": (
            "if s >= 2 and places[s] != blank and places[s] != places[s - 2]",
            "if s >= 2 and (places[s] == blank or places[s] != places[s - 2])",
        ),
        **_PLACES,
        "ends on the last blank only": ("np.logaddexp.reduce(alpha[-2:])", "alpha[-1]"),
        "ends on the last target only": ("np.logaddexp.reduce(alpha[-2:])", "alpha[-2:][0]"),
        "begins on the blank only": ("alpha[:2] = log_y[0, places[:2]]", "alpha[:1] = log_y[0, places[:1]]"),
        "begins on the first target only": (
            "alpha[:2] = log_y[0, places[:2]]",
            "alpha[:2][-1:] = log_y[0, places[:2][-1:]]",
        ),
        "the best way in place of the sum of all": (
            "ways = np.logaddexp(ways, before[s - 1])",
            "ways = max(ways, before[s - 1])",
            "ways = np.logaddexp(ways, before[s - 2])",
            "ways = max(ways, before[s - 2])",
            "np.logaddexp.reduce(alpha[-2:])",
            "alpha[-2:].max()",
        ),
        "divided by the number of targets": ("alpha[-2:]))", "alpha[-2:])) / max(len(targets), 1)"),
        "no blanks between the targets": (
            "    for target in targets:\n        places += [target, blank]\n",
            "    places += [*targets, blank]\n",
        ),
        "sign wrong": ("return -float", "return float"),
        "divided by the number of frames": ("alpha[-2:]))", "alpha[-2:])) / len(log_y)"),
        "the probability, not minus its logarithm": (
            "-float(np.logaddexp.reduce(alpha[-2:]))",
            "float(np.exp(np.logaddexp.reduce(alpha[-2:])))",
        ),
        "the repeated letters count as one: a skip wherever the place is a letter, and no stay": (
            "            ways = before[s]\n",
            "            ways = before[s] if places[s] == blank else -np.inf\n",
        ),
        "α is updated in place: a place sees the others of its own frame": ("before = alpha.copy()", "before = alpha"),
        "α of the next frame is not multiplied by y": ("alpha[s] = ways + log_y[t, places[s]]", "alpha[s] = ways"),
        "α is rescaled at every frame, and the scales are not added up": [
            (
                "            alpha[s] = ways + log_y[t, places[s]]\n",
                "            alpha[s] = ways + log_y[t, places[s]]\n"
                "        alpha = alpha - np.logaddexp.reduce(alpha)\n",
                "    for t in range(1, len(log_y)):\n",
                f"    {first}for t in range(1, len(log_y)):\n",
            )
            for first in ("alpha = alpha - np.logaddexp.reduce(alpha)\n    ", "")
        ],
        "the first frame's scale is not added up: α of frame 0 is rescaled": (
            "    for t in range(1, len(log_y)):\n",
            "    alpha = alpha - np.logaddexp.reduce(alpha)\n    for t in range(1, len(log_y)):\n",
        ),
        "the targets without blanks: an alignment with repeats only": (
            "    places = [blank]\n    for target in targets:\n        places += [target, blank]\n",
            "    places = list(targets) or [blank]\n",
        ),
        "the likeliest token of every frame counts, not the targets": (
            "return -float(np.logaddexp.reduce(alpha[-2:]))",
            "return -float(log_y.max(axis=1).sum())",
        ),
        "softmax without the maximum": ("log_y = logits - logits.max(axis=1, keepdims=True)", "log_y = logits"),
        "probabilities, not their logarithms: long recordings underflow": (
            "return -float(np.logaddexp.reduce(alpha[-2:]))",
            "return -math.log(np.exp(alpha[-2:]).sum()) if np.exp(alpha[-2:]).sum() else math.inf",
        ),
    },
)

CTC_LOSS_BACKWARD = exercise(
    ctc_loss_backward,
    backward_of(ctc.ctc_loss, ctc.ctc_loss_backward),
    module="losses.ctc",
    notebook="09",
    title="The CTC loss, backward",
    battery=_backward,
    returns=("dlogits",),
    mistakes={
        "sign wrong": ("return (", "return -("),
        "dloss forgotten": ("(dloss * dlogits)", "dlogits"),
        "mean over the frames": ("(dloss * dlogits)", "(dloss * dlogits / T)"),
        "missing skip transition": ("skip = [s >= 2 and", "skip = [False and"),
        "skip across repeated letters allowed": (" and places[s] != places[s - 2]", ""),
        "blank is taken to be 0": _PLACES["blank is taken to be 0"],
        "blank is taken to be the last token": _PLACES["blank is taken to be the last token"],
        "a token's last place counts, not the sum of all its places: = in place of +=": (
            "    for s in range(n):\n        dlogits[:, places[s]] -= gamma[:, s]",
            "    for token in set(places):\n        last = max(s for s in range(n) if places[s] == token)\n"
            "        dlogits[:, token] -= gamma[:, last]",
        ),
        "β forgotten: γ of the past alone": (
            "np.exp(alpha + beta - log_p)",
            "np.exp(alpha - np.logaddexp.reduce(alpha, axis=1)[:, None])",
        ),
        "the best path in place of all paths": (
            "gamma = np.exp(alpha + beta - log_p)",
            "gamma = np.eye(n)[(alpha + beta).argmax(axis=1)]",
        ),
        "y alone: the targets are forgotten": ("gamma = np.exp(alpha + beta - log_p)", "gamma = np.zeros((T, n))"),
        "the gradient with respect to the log-probabilities: softmax is not gone through": (
            "dlogits = np.exp(log_y)",
            "dlogits = np.zeros_like(log_y)",
        ),
        "y of the same frame counts twice: in α and in β": (
            "gamma = np.exp(alpha + beta - log_p)",
            "gamma = np.exp(alpha + beta + log_y[:, places] - log_p)",
        ),
        "not divided by the probability of the targets": ("alpha + beta - log_p", "alpha + beta"),
    },
)

FRAMES_NEEDED = exercise(
    frames_needed,
    lattice.frames_needed,
    module="ops.lattice",
    notebook="09",
    title="How many frames a text needs",
    battery=_texts,
    returns=("frames",),
    mistakes={
        "repeats forgotten": ("len(targets) + repeats", "len(targets)"),
        "all equal targets count, not only neighbours": (
            "sum(targets[i] == targets[i - 1] for i in range(1, len(targets)))",
            "len(targets) - len(set(targets))",
        ),
        "a blank between all targets": ("len(targets) + repeats", "max(2 * len(targets) - 1, 0)"),
        "a blank around every target: the places, not the frames": ("len(targets) + repeats", "2 * len(targets) + 1"),
        "repeats subtracted": ("+ repeats", "- repeats"),
        "repeats alone": ("len(targets) + repeats", "repeats"),
        "1 forgotten or added: one frame too many": ("len(targets) + repeats", "len(targets) + repeats + 1"),
        "a blank between all targets, and two between equal ones": (
            "len(targets) + repeats",
            "2 * len(targets) - 1 + repeats",
        ),
        "neighbours that differ are counted": ("targets[i] == targets[i - 1]", "targets[i] != targets[i - 1]"),
        "two frames for each repeat": ("+ repeats", "+ 2 * repeats"),
        "only whether there is a repeat": ("len(targets) + repeats", "len(targets) + (repeats > 0)"),
    },
)

ALIGN = exercise(
    align,
    lambda *arguments: alignment.align(*arguments).labels,
    module="text.align",
    notebook="09",
    title="Forced alignment",
    battery=_aligned,
    returns=("labels",),
    mistakes={
        "missing skip transition": [
            ("[2] * (s >= 2 and", "[2] * (False and"),
            ("[2] * (s >= 2 and", "[2] * (False and", "v[-1, n - 1] >= v[-1, n - 2]", "v[-1, n - 1] > v[-1, n - 2]"),
        ],
        "argmax at every place of a frame, not along the steps that were taken": (
            "return np.array(path[::-1])",
            "return np.array([places[s] for s in v.argmax(axis=1)])",
        ),
        "the places are returned, not their tokens": ("path.append(places[s])", "path.append(s)"),
        "the sum in place of the best: forward probabilities": (
            "v[t, s] = v[t - 1, s - came[t, s]] + log_probs[t, places[s]]",
            "v[t, s] = np.logaddexp.reduce([v[t - 1, s - step] for step in steps]) + log_probs[t, places[s]]",
        ),
        "evenly laid out, whatever the frames say": (
            "return np.array(path[::-1])",
            "return np.array([places[t * n // T] for t in range(T)])",
        ),
        "skip over a letter, from blank to blank, allowed": (
            "places[s] != blank and places[s] != places[s - 2])",
            "(places[s] == blank or places[s] != places[s - 2]))",
        ),
        "skip across repeated letters allowed": (" and places[s] != places[s - 2]", ""),
        "the best token of every frame, whatever it spells": (
            "return np.array(path[::-1])",
            "return log_probs.argmax(axis=1)",
        ),
        "the path is backwards": ("path[::-1]", "path"),
        "always ends on the last blank": (
            "s = n - 1 if n == 1 or v[-1, n - 1] >= v[-1, n - 2] else n - 2",
            "s = n - 1",
        ),
        "always ends on the last target": (
            "s = n - 1 if n == 1 or v[-1, n - 1] >= v[-1, n - 2] else n - 2",
            "s = max(n - 2, 0)",
        ),
        "begins on the blank only": ("v[0, :2] = log_probs[0, places[:2]]", "v[0, :1] = log_probs[0, places[:1]]"),
        "blank is taken to be 0": ("places = [blank]", "blank = 0\n    places = [blank]"),
        "the worst way, not the best": ("max(steps, key=lambda step: v", "max(steps, key=lambda step: -v"),
    },
)
