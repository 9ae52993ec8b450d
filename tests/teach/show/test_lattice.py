"""The lattice and the alignment, drawn: the right nodes, steps, numbers and times stand on the paper."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

import xlsr_ref
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.ctc import ctc_loss, log_beta, posteriors
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.teach import show
from xlsr_ref.text.align import align
from xlsr_ref.text.transcript import Span

TARGETS, LETTERS = [1, 1, 2], "-ab"
GREEN = show.COLOURS["target"]


@pytest.fixture
def log_y(rng):
    return np.log(rng.dirichlet(np.ones(3), 6))


def drawn(log_y, targets=TARGETS, labels=LETTERS, **how):
    with show.figure("a lattice", height=4) as ax:
        show.lattice(ax, log_y, targets, 0, labels, **how)
    return ax


def nodes(ax):
    """Where the nodes are, and of each its colour and its area in square points."""
    dots = [item for item in ax.collections if isinstance(item, PathCollection)]
    where = np.concatenate([item.get_offsets() for item in dots]).astype(int)
    colours = [to_hex(colour) for item in dots for colour in item.get_facecolors()]
    return where, colours, np.concatenate([np.full(len(item.get_offsets()), item.get_sizes()[0]) for item in dots])


def steps(ax):
    """The grey lines: from which place to which, in the frame before and after."""
    x, y = ax.lines[0].get_data()
    assert np.isnan(x[2::3]).all()
    return np.stack([x[0::3], y[0::3], x[1::3], y[1::3]], axis=1).astype(int).tolist()


def test_every_node_and_step_that_a_path_uses_and_no_other(log_y):
    ax = drawn(log_y)
    # T = 6, − a − a − b −: the blank between the two a's cannot be left out, so four frames are needed
    first, last = [0, 0, 1, 2, 3, 3, 4], [1, 2, 3, 4, 4, 5, 5]  # frame in which a path can stand on each place
    _, cache = ctc_loss(log_y, TARGETS, 0)
    gamma = posteriors(cache)
    assert sorted(map(tuple, nodes(ax)[0].tolist())) == list(map(tuple, np.argwhere(gamma > 0)))
    for s, (begin, end) in enumerate(zip(first, last)):
        assert np.flatnonzero(gamma[:, s]).tolist() == list(range(begin, end + 1))
    jumps = {(before, after) for _, before, _, after in steps(ax)}
    assert {(s, s + 2) for s in range(5)} & jumps == {(3, 5)}  # from a to b, never from a to a or from blank to blank
    assert all(u == t + 1 and gamma[t, before] > 0 < gamma[u, after] for t, before, u, after in steps(ax))
    expected = sum(
        gamma[t, s] > 0 < gamma[t + 1, s + step] and (step < 2 or s == 3)
        for t in range(5)
        for s in range(7)
        for step in range(3)
        if s + step < 7
    )
    assert len(steps(ax)) == expected
    assert [label.get_text() for label in ax.get_yticklabels()] == ["–", "a", "–", "a", "–", "b", "–"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first place on top


@pytest.mark.parametrize("what", ["alpha", "beta", "posterior"])
def test_a_small_lattice_says_its_numbers(log_y, what):
    ax = drawn(log_y, what=what)
    _, cache = ctc_loss(log_y, TARGETS, 0)
    values = {"alpha": cache.log_alpha, "beta": log_beta(cache), "posterior": posteriors(cache)}[what]
    offsets, _, _ = nodes(ax)
    written = {text.get_position(): float(text.get_text().replace("−", "-")) for text in ax.texts}
    assert len(written) == len(offsets)
    for t, s in offsets:
        assert written[t, s] == pytest.approx(values[t, s], abs=0.0051 if what == "posterior" else 0.051)


@pytest.mark.parametrize("what", ["alpha", "beta", "posterior", "path"])
def test_the_best_path_lies_on_top(log_y, what):
    ax = drawn(log_y, what=what)
    best = align(log_y, TARGETS, 0)
    line = ax.lines[1]
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == (list(range(6)), best.places.tolist())
    assert line.get_color() == GREEN
    if what == "path":
        letters = {text.get_position(): text.get_text() for text in ax.texts if text.get_text()}
        spelled = [letters[t, s] for t, s in enumerate(best.places)]
        assert spelled == [LETTERS[token].replace("-", "–") for token in best.labels]
        assert len(letters) == 6


def test_colours_follow_the_values_and_end_at_the_floor(rng):
    y = np.log(rng.dirichlet([0.05] * 3, 40) + 1e-9)
    y -= np.logaddexp.reduce(y, axis=1, keepdims=True)
    ax = drawn(y, what="alpha")
    offsets, faces, _ = nodes(ax)
    alpha = ctc_loss(y, TARGETS, 0)[1].log_alpha[offsets[:, 0], offsets[:, 1]]
    darkest, brightest = faces[alpha.argmin()], faces[alpha.argmax()]
    assert alpha.min() < alpha.max() - 15
    assert {face for face, value in zip(faces, alpha) if value < alpha.max() - 15} == {darkest}
    assert brightest not in {face for face, value in zip(faces, alpha) if value < alpha.max() - 2}
    assert len(ax.texts) == 0  # too many nodes for numbers


def test_the_area_of_a_node_is_its_posterior(rng):
    log_y = np.log(rng.dirichlet(np.ones(3), 30))
    ax = drawn(log_y)
    gamma = posteriors(ctc_loss(log_y, TARGETS, 0)[1])
    sizes = {tuple(at): size for at, size in zip(nodes(ax)[0].tolist(), nodes(ax)[2])}
    likely = [at for at in sizes if gamma[at] > 0.2]
    ratios = [sizes[at] / gamma[at] for at in likely]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)


def test_labels_may_be_a_dict_and_targets_empty(log_y):
    ax = drawn(log_y, [2], {1: "ch", 2: "ß", 0: "[PAD]"})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["–", "ß", "–"]
    assert [label.get_text() for label in drawn(log_y, [], "-").get_yticklabels()] == ["–"]


def test_one_frame():
    assert nodes(drawn(np.log([[0.5, 0.25, 0.25]]), [1]))[0].tolist() == [[0, 1]]
    for what in ("alpha", "beta", "posterior", "path"):
        drawn(np.log([[0.5, 0.25, 0.25]]), [1], what=what)


def test_what_cannot_be_drawn_is_named(log_y):
    with pytest.raises(ValueError, match="'gamma': it must be alpha, beta, posterior or path"):
        drawn(log_y, what="gamma")
    with pytest.raises(ObjectiveError, match="need 4 frames, but there are 3"):
        drawn(log_y[:3])
    with pytest.raises(ObjectiveError, match="give log-softmax"):
        drawn(log_y + 1)


def test_all_four_of_a_word_that_was_spoken():
    """A bundled clip of one word: α, β, γ and the path, each as it is drawn alone."""
    model = xlsr_ref.load()
    clip = next(clip for clip in read_manifest(BUNDLED.parent / "clips.tsv") if clip.text == "five")
    logits = model.logits(pytest.importorskip("soundfile").read(clip.path, dtype="float32")[0], 16000)
    spoken = logits - np.logaddexp.reduce(logits.astype(np.float64), axis=1, keepdims=True)
    word, blank = model.tokenizer.encode(clip.text), model.tokenizer.pad_id
    with show.figure("four lattices", rows=4, height=12) as axes:
        show.lattices(axes, spoken, word, blank, model.tokenizer.tokens)
    path = align(spoken, word, blank).places.tolist()
    for ax, symbol in zip(axes, ("α", "β", "γ", "the likeliest")):
        assert ax.get_title("left").startswith(symbol)
        assert [label.get_text() for label in ax.get_yticklabels()] == list("–f–i–v–e–")
        assert ax.lines[1].get_ydata().tolist() == path
    colours = [nodes(ax)[1] for ax in axes]
    assert len({tuple(each) for each in colours}) == 4  # four different pictures
    with pytest.raises(ValueError, match="there are 2 axes: give 4"):
        show.lattices(axes[:2], spoken, word, blank, model.tokenizer.tokens)


# --- over the spectrogram --------------------------------------------------------------------------------------------

SPANS = [Span("one", 0.1, 0.3, 0.9), Span("two", 0.5, 0.9, 0.8)]


def placed(spans, seconds=1.0):
    x = np.sin(np.arange(int(16000 * seconds)) / 3)
    with show.figure("an alignment") as ax:
        show.alignment(ax, x, 16000, spans)
    return ax


def test_every_span_stands_where_it_was_placed():
    ax = placed(SPANS)
    assert len(ax.images) == 1
    assert [(text.get_text(), text.get_position()[0]) for text in ax.texts] == [("one", 0.2), ("two", 0.7)]
    edges = [
        float(line[0][0]) for item in ax.collections if hasattr(item, "get_segments") for line in item.get_segments()
    ]
    assert sorted(edges) == pytest.approx([0.1, 0.3, 0.5, 0.9])
    top = ax.images[0].get_extent()[3]
    assert all(text.get_position()[1] > top for text in ax.texts)  # above the spectrogram, not on it
    assert max(ax.get_yticks()) <= top < ax.get_ylim()[1]


def test_texts_that_would_overlap_stand_in_rows():
    ax = placed([("mmmmm", 0.5 + i / 100, 0.51 + i / 100) for i in range(3)])
    heights = [text.get_position()[1] for text in ax.texts]
    assert heights == sorted(set(heights))
    assert heights[-1] < ax.get_ylim()[1]
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts]
    assert not any(one.overlaps(two) for one, two in itertools.pairwise(boxes))


def test_no_spans():
    assert len(placed([]).texts) == 0
