"""Maps, curves and histograms: what stands on the paper is what is in the array."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from xlsr_ref.losses.diversity import perplexity
from xlsr_ref.teach import show
from xlsr_ref.teach.show import features, picture


@pytest.fixture
def unrendered(monkeypatch):
    """The axes are looked at, not the paper: that takes a second each."""
    monkeypatch.setattr(picture, "render", lambda drawn, alt: None)


pytestmark = pytest.mark.usefixtures("unrendered")


def image_of(draw, *arguments, **keywords):
    with show.figure("x") as ax:
        image = draw(ax, *arguments, **keywords)
    return ax, image


def test_filters_are_drawn_tap_by_tap(rng):
    weight = rng.standard_normal((5, 1, 10))
    weight[1, 0] = np.sin(2 * np.pi * 2000 * np.arange(10) / 16000)
    with show.figure("x", columns=3) as axes:
        show.filters(axes, weight, 16000)
    np.testing.assert_array_equal([ax.lines[1].get_ydata() for ax in axes], weight[:3, 0])
    np.testing.assert_allclose(axes[0].lines[1].get_xdata(), np.arange(10) / 16)  # ms
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert axes[1].get_title(loc="left") in ("1: 1.8 kHz", "1: 1.9 kHz", "1: 2.0 kHz", "1: 2.1 kHz")
    with show.figure("x") as ax:
        show.filters(ax, weight[2:, 0], 16000, names=["third"])
    assert ax.get_title(loc="left").startswith("third: ")


def test_a_feature_map_has_time_to_the_right_and_channel_0_below(rng):
    x = rng.uniform(0, 1, (9, 4))
    ax, image = image_of(show.feature_map, x, 0.02, label="activation")
    np.testing.assert_allclose(image.get_array(), x.T)
    assert image.origin == "lower"
    assert image.get_extent() == [0, pytest.approx(0.18), 0, 4]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "channel")
    ax, image = image_of(show.feature_map, x)
    assert ax.get_xlabel() == "frame"
    assert image.get_extent()[1] == 9


def test_a_map_with_two_signs_is_white_at_zero(rng):
    x = rng.standard_normal((9, 4)) + 0.5
    for either in (x, -x):  # whichever side reaches further
        _, image = image_of(show.feature_map, either)
        low, high = image.get_clim()
        assert low == -high == -np.abs(x).max()
    assert np.allclose(image.cmap(image.norm(0.0)), 1, atol=0.05)
    assert image.cmap.name.startswith(show.DIVERGING)
    _, image = image_of(show.feature_map, np.abs(x) - 0.1)  # a little below 0, as after GELU
    assert image.cmap.name.startswith(show.SEQUENTIAL)
    assert image.get_clim() == (np.abs(x).min() - 0.1, np.abs(x).max() - 0.1)
    _, image = image_of(show.feature_map, np.abs(x), centre=True)
    assert image.get_clim()[0] == -image.get_clim()[1]
    _, image = image_of(show.feature_map, x, centre=False)
    assert image.cmap.name.startswith(show.SEQUENTIAL)


def test_an_outlier_does_not_darken_the_rest(rng):
    x = rng.uniform(0, 1, (100, 50))
    x[3, 3] = 1000
    _, image = image_of(show.feature_map, x)
    assert 0.98 < image.get_clim()[1] < 1


@pytest.mark.parametrize("x", [np.zeros((3, 4)), np.full((3, 4), 7.0), np.full((3, 4), np.nan), np.full((3, 4), -2.0)])
def test_a_constant_map_can_be_drawn(x):
    _, image = image_of(show.feature_map, x)
    low, high = image.get_clim()
    assert low < high


def test_shrinking_averages_and_leaves_nothing_out(rng):
    x = rng.standard_normal((1000, 30))
    small = features.shrink(x, 100)
    assert small.shape == (100, 30)
    np.testing.assert_allclose(small[7], x[70:80].mean(axis=0))
    small = features.shrink(x.T, 7)
    assert small.shape == (7, 7)
    assert features.shrink(x[:100], 100) is not None
    np.testing.assert_array_equal(features.shrink(x[:100], 100), x[:100])
    uneven = features.shrink(np.arange(11.0)[:, None], 3)[:, 0]
    np.testing.assert_allclose(uneven, [np.mean([0, 1, 2]), np.mean([3, 4, 5, 6]), np.mean([7, 8, 9, 10])])


def test_a_matrix_stands_as_it_is_written(rng):
    m = np.array([[0.25, -1.5, 0.0], [2.0, 0.125, -0.25]])
    ax, image = image_of(show.matrix, m, "to", "from", columns=["a", "b", "c"], rows=[10, 20], values=".2f")
    np.testing.assert_array_equal(image.get_array(), m)
    assert image.origin == "upper"
    written = {(t.get_position(), t.get_text()) for t in ax.texts}
    assert ((1, 0), "−1.50") in written
    assert ((0, 1), "2.00") in written
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["10", "20"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("to", "from")
    ax, _ = image_of(show.matrix, m)
    assert list(ax.texts) == []


def test_languages_have_their_colours(rng):
    ax, _ = image_of(show.similarity, np.eye(3), ["en", "ru", "tlh"])
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in np.eye(3).ravel()]
    boxes = [tick.get_bbox_patch() for tick in ax.get_xticklabels()]
    assert to_hex(boxes[0].get_facecolor()) == show.LANGUAGES["en"]
    assert to_hex(boxes[1].get_facecolor()) == show.LANGUAGES["ru"]
    assert boxes[2] is None


def test_code_usage_is_sorted_shares(rng):
    counts = rng.integers(1, 100, (2, 6))
    with show.figure("x") as ax:
        show.code_usage(ax, counts)
    share = counts / counts.sum(axis=1, keepdims=True)
    for g, patch in enumerate(ax.patches):
        np.testing.assert_allclose(patch.get_data().values, np.sort(share[g])[::-1])
    used = perplexity(share)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [f"group 0: {used[0]:.1f} of 6 codes", f"group 1: {used[1]:.1f} of 6 codes", "equal use"]
    assert ax.lines[0].get_ydata()[0] == 1 / 6
    with show.figure("x") as ax:
        show.code_usage(ax, np.array([4, 0, 0, 4]))
    assert ax.get_legend().get_texts()[0].get_text() == "2.0 of 4 codes"


def test_curves_have_the_colour_of_their_name():
    with show.figure("x", columns=2) as (ax, other):
        show.curves(ax, {"context": [1, 2], "something": [3, 4], "ru": [5, 6]}, xlabel="update", ylabel="loss")
        show.curves(other, {"a": np.array([1.0, 10.0])}, x=np.array([5, 7]), log=True)
    colours = [line.get_color() for line in ax.lines]
    assert colours[0] == show.COLOURS["context"]
    assert colours[2] == show.LANGUAGES["ru"]
    assert len(set(colours)) == 3
    assert len({str(line._dash_pattern) for line in ax.lines}) == 3  # for print
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 2], [3, 4], [5, 6]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["context", "something", "ru"]
    assert other.get_yscale() == "log"
    assert other.lines[0].get_xdata().tolist() == [5, 7]


def test_a_histogram_gives_shares_in_the_same_bins(rng):
    groups = {"mine": rng.standard_normal((20, 30)), "reference": rng.standard_normal(100) + 3}
    with show.figure("x") as ax:
        show.histogram(ax, groups, bins=17)
    lines = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(lines) == 2
    for patch, values in zip(lines, groups.values()):
        share = np.histogram(values, patch.get_data().edges)[0] / values.size
        np.testing.assert_allclose(patch.get_data().values, share)
        assert share.sum() == pytest.approx(1)
    np.testing.assert_array_equal(lines[0].get_data().edges, lines[1].get_data().edges)
    assert len(lines[0].get_data().edges) == 18
    assert lines[0].get_edgecolor() == to_rgba(show.COLOURS["mine"])
    with show.figure("x") as ax:
        show.histogram(ax, groups, log=True)
    assert ax.get_yscale() == "log"


def test_heads_are_drawn_one_by_one(rng):
    weights = rng.dirichlet(np.ones(12), (4, 12))  # (H, T, T)
    with show.figure("x", columns=3) as axes:
        show.heads(axes, weights, 0.02, first=8)
    images = [ax.images[0] for ax in axes]
    for head, image in zip(weights, images):
        np.testing.assert_allclose(image.get_array(), head)
        assert image.get_extent() == [0, pytest.approx(0.24), pytest.approx(0.24), 0]  # time runs down
    assert len({image.get_clim() for image in images}) == 1
    assert [ax.get_title(loc="left") for ax in axes] == ["head 8", "head 9", "head 10"]
    with show.figure("x") as ax:
        show.heads(ax, weights[0])
    assert ax.get_xlabel() == "looked at (frame)"


def test_the_head_of_a_long_utterance_is_averaged():
    T = 720
    with show.figure("x") as ax:
        show.heads(ax, np.eye(T))
    image = ax.images[0].get_array()
    assert image.shape == (240, 240)
    np.testing.assert_allclose(np.diag(image), 1 / 3)
    assert ax.images[0].get_extent() == [0, T, T, 0]
