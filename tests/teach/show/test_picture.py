"""Pictures: words, vectors and pixels in one bundle, the same bytes each time, and nothing left behind."""

import base64
import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from xlsr_ref.teach import show
from xlsr_ref.teach.show import picture, style

SVG = "{http://www.w3.org/2000/svg}"
ALT = 'A line that rises from 0 to 1 & a map of "noise"'


@pytest.fixture
def displayed(monkeypatch):
    found = []
    monkeypatch.setattr(picture, "display", found.append)
    return found


def draw(alt=ALT, seed=0):
    with show.figure(alt, columns=2, height=2) as (left, right):
        left.plot([0, 1], [0, 1], label="line")
        left.legend()
        right.imshow(np.random.default_rng(seed).standard_normal((30, 40)))


def test_the_bundle_has_vectors_pixels_and_words(displayed):
    draw()
    data, metadata = displayed[0]._repr_mimebundle_()
    assert set(data) == {"image/svg+xml", "image/png", "text/plain"}
    assert data["text/plain"] == repr(displayed[0]) == ALT
    assert metadata["image/png"] == {"alt": ALT, "width": 768, "height": 192}
    assert metadata["image/svg+xml"]["alt"] == ALT
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (8 * picture.PNG_DPI, 2 * picture.PNG_DPI)


def test_the_svg_can_be_read_aloud(displayed):
    draw()
    root = ET.fromstring(displayed[0].svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.find(f"{SVG}title").text == ALT
    assert root[0].tag == f"{SVG}title"
    assert "matplotlib" not in displayed[0].svg.lower()
    assert "font-family" not in displayed[0].svg  # letters are outlines


def test_the_same_drawing_gives_the_same_bytes(displayed):
    draw()
    draw()
    draw(seed=1)
    assert displayed[0] == displayed[1]
    assert displayed[0].svg != displayed[2].svg
    assert displayed[0].png != displayed[2].png


def test_the_paper_is_white_and_opaque(displayed):
    draw()
    image = Image.open(io.BytesIO(displayed[0].png)).convert("RGBA")
    assert image.getpixel((0, 0)) == (255, 255, 255, 255)
    assert image.getchannel("A").getextrema() == (255, 255)


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_a_picture_needs_words(alt):
    with pytest.raises(ValueError, match="needs an alt text"):
        show.figure(alt)


def test_several_axes_come_as_an_array(displayed):
    with show.figure("x", rows=2, columns=3, sharex=True, width_ratios=(1, 2, 3)) as axes:
        assert axes.shape == (2, 3)
        assert axes[0, 0].get_shared_x_axes().joined(axes[0, 0], axes[1, 0])
    with show.figure("x", squeeze=False, facecolor="#ffffee") as axes:
        assert axes.shape == (1, 1)
        assert to_hex(axes[0, 0].figure.get_facecolor()) == "#ffffee"
    with show.figure("x") as ax:
        assert not isinstance(ax, np.ndarray)
    assert len(displayed) == 3


def test_a_picture_is_saved(displayed, tmp_path):
    with show.figure("x", save=tmp_path / "a.svg") as ax:
        ax.plot([1, 2])
    displayed[0].save(tmp_path / "a.png")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == displayed[0].svg
    assert (tmp_path / "a.png").read_bytes() == displayed[0].png
    with pytest.raises(ValueError, match=r"must end in \.svg or \.png"):
        displayed[0].save(tmp_path / "a.pdf")


def test_settings_are_the_readers_again_afterwards(displayed):
    before = matplotlib.rcParams.copy()
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.grid": True}):
        opened = show.figure("x")
        with opened as ax:
            (line,) = ax.plot([1, 2])
            assert line.get_linewidth() == 1.5  # and while it is drawn they are ours, whatever the reader's are
            assert not matplotlib.rcParams["axes.grid"]
        assert matplotlib.rcParams["lines.linewidth"] == 9
    assert opened.picture == displayed[0]
    assert matplotlib.rcParams.copy() == before


def test_an_error_in_the_body_shows_nothing(displayed):
    before = matplotlib.rcParams.copy()
    with pytest.raises(ZeroDivisionError), show.figure("x"):
        1 / 0  # noqa: B018
    impossible = show.figure("x", columns=0)
    with pytest.raises(ValueError, match="columns"), impossible:
        pass
    assert displayed == []
    assert matplotlib.rcParams.copy() == before


def test_what_is_dense_becomes_pixels_inside_the_svg(displayed, rng):
    for kind in ("line", "cloud", "mesh", "short"):
        with show.figure("x", height=2) as ax:
            if kind == "line":
                ax.plot(rng.standard_normal(50_000))
            elif kind == "cloud":
                ax.scatter(rng.standard_normal(6000), rng.standard_normal(6000))
            elif kind == "mesh":
                ax.pcolormesh(rng.standard_normal((60, 80)))
            else:
                ax.plot(rng.standard_normal(500))
    assert ["<image" in shown.svg for shown in displayed] == [True, True, True, False]
    assert max(len(shown.svg) for shown in displayed) < 150_000


def test_a_map_is_stored_at_its_own_size(displayed, rng):
    with show.figure("x") as ax:
        ax.imshow(rng.standard_normal((50, 70)), aspect="auto")
    (image,) = ET.fromstring(displayed[0].svg).iter(f"{SVG}image")
    href = image.get("{http://www.w3.org/1999/xlink}href")
    inside = Image.open(io.BytesIO(base64.b64decode(href.split(",")[1])))
    assert inside.size == (70, 50)
    assert len(displayed[0].svg) < 60_000
    assert len(displayed[0].png) < 60_000


def test_every_kind_of_picture_is_small(displayed, rng):
    x = rng.standard_normal(50_000)
    kinds = {
        "waveform": lambda ax: show.waveform(ax, x, 16000, frames=(320, 400)),
        "spectrogram": lambda ax: show.spectrogram(ax, np.cumsum(x), 16000),
        "response": lambda ax: show.response(ax, x[:101], 16000),
        "filters": lambda ax: show.filters(ax, x[:10][None], 16000),
        "feature map": lambda ax: show.feature_map(ax, np.abs(x[: 160 * 192].reshape(160, 192)), 0.02),
        "matrix": lambda ax: show.matrix(ax, x[:60].reshape(6, 10), values=".1f"),
        "similarity": lambda ax: show.similarity(ax, x[:9].reshape(3, 3), ["en", "fr", "ru"]),
        "code usage": lambda ax: show.code_usage(ax, np.abs(x[:640].reshape(2, 320))),
        "curves": lambda ax: show.curves(ax, {"mine": x[:300], "reference": x[300:600]}),
        "histogram": lambda ax: show.histogram(ax, {"mine": x, "reference": x / 2}),
        "heads": lambda ax: show.heads(ax, np.abs(x[: 160 * 160].reshape(160, 160)), 0.02),
    }
    for kind, draw_it in kinds.items():
        with show.figure(kind) as ax:
            draw_it(ax)
    assert [shown.alt for shown in displayed] == list(kinds)
    sizes = {shown.alt: (len(shown.svg), len(shown.png)) for shown in displayed}
    assert max(svg for svg, _ in sizes.values()) < 80_000, sizes
    assert max(png for _, png in sizes.values()) < 80_000, sizes


def png_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def colours_of(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def test_up_to_256_colours_stay_exact(rng):
    pixels = rng.integers(0, 256, (256, 3), np.uint8)[rng.integers(0, 256, (50, 60))]
    np.testing.assert_array_equal(colours_of(picture._small(png_of(pixels)))[..., :3], pixels)


def test_more_colours_come_near_and_the_common_ones_stay_exact(rng):
    pixels = rng.integers(0, 256, (64, 256, 3), np.uint8)
    pixels[:, :100] = (255, 255, 255)
    pixels[:, 100:150] = (0, 114, 178)
    found = colours_of(picture._small(png_of(pixels)))[..., :3]
    np.testing.assert_array_equal(found[:, :150], pixels[:, :150])
    # a palette for 6,800 colours drawn at random, which is far worse than a picture, has one for each cube of 64³ / 2
    assert np.abs(found.astype(int) - pixels).max() < 96
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 256


def test_what_shines_through_is_left_alone(rng):
    png = png_of(rng.integers(0, 256, (20, 20, 4), np.uint8))
    assert picture._small(png) == png


def test_outside_a_notebook_nothing_is_displayed(capsys):
    draw()
    assert capsys.readouterr() == ("", "")


def test_in_a_notebook_it_is_displayed(monkeypatch):
    found = []

    class IPython:
        @staticmethod
        def get_ipython():
            return object()

    class Display:
        display = found.append

    monkeypatch.setitem(sys.modules, "IPython", IPython)
    monkeypatch.setitem(sys.modules, "IPython.display", Display)
    draw()
    assert [type(shown) for shown in found] == [show.Picture]


WITHOUT_IPYTHON = """
import sys
sys.modules["IPython"] = None  # as if it were not installed
from xlsr_ref.teach import check, show
with show.figure("x") as ax:
    ax.plot([1, 2])
show.ribbon("blocks")
show.source(check.close)
assert "matplotlib.pyplot" not in sys.modules  # which would choose a backend, and open windows
"""


def test_a_plain_script_needs_no_ipython_no_pyplot_and_no_numba():
    environment = os.environ | {"XLSR_REF_BACKEND": "numpy"}
    command = [sys.executable, "-c", WITHOUT_IPYTHON]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# xlsr_ref/teach/check.py\ndef close(")


# --- the visual language ---------------------------------------------------------------------------------------------


def luminance(colour):
    values = np.array(to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_words_can_be_read_on_every_colour():
    for colour in (*show.COLOURS.values(), *show.LANGUAGES.values()):
        assert contrast(colour, style.legible(colour)) > 3.8, colour
        assert contrast(style.pale(colour, 0.1), style.SOFT) > 4.5, colour


def test_colours_are_okabe_and_itos_or_greys():
    okabe_ito = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}
    for colour in {*show.COLOURS.values(), *show.LANGUAGES.values(), *style.CYCLE} - okabe_ito:
        assert np.ptp(to_rgb(colour)) < 0.1, colour
    assert len(set(show.LANGUAGES.values())) == 5


def test_neighbours_in_the_cycle_differ_in_grey():
    for one, next_one in pairwise(style.CYCLE):
        assert contrast(one, next_one) > 1.25, (one, next_one)


def test_all_names_of_the_language_are_there():
    keys = "sound features context quantizer masked positive negative target blank mine reference error quiet"
    assert set(keys.split()) <= set(show.COLOURS)
    assert sorted(show.LANGUAGES) == ["en", "es", "fr", "it", "ru"]  # as the bundled clips
    assert {show.SEQUENTIAL, show.DIVERGING} <= set(matplotlib.colormaps)
    for name in show.__all__:
        assert hasattr(show, name)
