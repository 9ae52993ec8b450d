"""Files, bytes and bits: what stands on the paper is what is in the file."""

import struct

import pytest
from matplotlib.colors import to_hex

from xlsr_ref.teach import show
from xlsr_ref.teach.show import file, picture
from xlsr_ref.teach.show.style import COLOURS, legible, pale

PARTS = [("length", 8, "sound"), ("header", 90, "text"), ("a", 902, "features")]


@pytest.fixture
def unrendered(monkeypatch):
    """The axes are looked at, not the paper: that takes a second each."""
    monkeypatch.setattr(picture, "render", lambda drawn, alt: None)


def words(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.usefixtures("unrendered")
def test_regions_have_their_bytes_and_where_they_begin():
    with show.figure("x") as ax:
        show.regions(ax, PARTS)
    assert words(ax) == ["length", "8\nbytes", "0", "header", "90\nbytes", "8", "a", "902\nbytes", "98"]
    widths = [patch.get_width() for patch in ax.patches]
    assert widths == pytest.approx([0.1, 0.1, 0.8])  # two are drawn wider than they are
    assert [to_hex(patch.get_facecolor()) for patch in ax.patches] == [COLOURS[colour] for _, _, colour in PARTS]
    for patch, name in zip(ax.patches, ax.texts[::3]):
        assert name.get_color() == legible(patch.get_facecolor()[:3])
    with show.figure("x") as ax, pytest.raises(ValueError, match="at least one byte"):
        show.regions(ax, [("nothing", 0, "text")])


@pytest.mark.usefixtures("unrendered")
def test_regions_to_scale_and_without_offsets():
    with show.figure("x") as ax:
        show.regions(ax, PARTS, to_scale=True)
    assert [patch.get_width() for patch in ax.patches] == pytest.approx([0.008, 0.09, 0.902])
    assert words(ax) == ["a", "902\nbytes", "98"]  # the others are too narrow for a name
    with show.figure("x") as ax:
        show.regions(ax, PARTS[1:], offsets=False)
    assert words(ax) == ["header", "90\nbytes", "a", "902\nbytes"]


@pytest.mark.parametrize("sizes", [[1], [0, 5], [1, 1, 1], [1, 98, 900, 1], [99, 100, 801], [1] * 30, [110, 890, 0, 0]])
def test_widths_fill_the_strip_in_the_order_of_the_sizes(sizes):
    widths = file._widths(sizes)
    assert sum(widths) == pytest.approx(1)
    assert min(widths) >= min(file.LEAST, 1 / len(sizes)) * 0.999
    assert [widths[i] for i in sorted(range(len(sizes)), key=sizes.__getitem__)] == pytest.approx(sorted(widths))


@pytest.mark.usefixtures("unrendered")
def test_a_dump_shows_every_byte_twice_on_its_regions_colour():
    data = bytes([0, 255]) + b"lm_head." + bytes(10)
    with show.figure("x") as ax:
        show.dump(ax, data, [("n", 2, "sound"), ("name", 8, "text")], columns=8, begin=1000)
    found = words(ax)
    assert found[:3] == ["00", "·", "1,000"]
    assert found[3:5] == ["ff", "·"]
    assert found[5:7] == ["6c", "l"]
    assert "1,008" in found
    assert "1,016" in found
    assert len(ax.patches) == 20
    assert to_hex(ax.patches[1].get_facecolor()) == pale(COLOURS["sound"], 0.3)
    assert to_hex(ax.patches[2].get_facecolor()) == pale(COLOURS["text"], 0.3)
    assert to_hex(ax.patches[10].get_facecolor()) == "#ffffff"
    assert [patch.get_x() for patch in ax.patches[:9]] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    with show.figure("x") as ax:
        show.dump(ax, bytes(1000), columns=8, rows=3)
    assert len(ax.patches) == 24


@pytest.mark.usefixtures("unrendered")
def test_bits_stand_below_their_part():
    single = f"{struct.unpack('>I', struct.pack('>f', -1.5))[0]:032b}"
    with show.figure("x") as ax:
        show.bits(ax, {"float32": (single, (1, 8, 23)), "bfloat16": (single[:16], (1, 8, 7))})
    assert "".join(word for word in words(ax) if word in ("0", "1")) == single + single[:16]
    assert len(ax.patches) == 48
    assert to_hex(ax.patches[0].get_facecolor()) == COLOURS["context"]  # the sign, which is set
    assert to_hex(ax.patches[1].get_facecolor()) == pale(COLOURS["quantizer"], 0.25)
    assert to_hex(ax.patches[2].get_facecolor()) == COLOURS["quantizer"]
    assert to_hex(ax.patches[9].get_facecolor()) == COLOURS["features"]
    assert ax.patches[32].get_y() == ax.patches[0].get_y() - 1
    assert {"float32", "bfloat16", "exponent", "fraction", "s"} <= set(words(ax))
    with show.figure("x") as ax, pytest.raises(ValueError, match="16 bits cannot be cut into 1, 8, 23"):
        show.bits(ax, {"bfloat16": (single[:16], (1, 8, 23))})


def test_they_are_pictures():
    drawing = show.figure("The bytes of a very small file, in hex", rows=2)
    with drawing as (top, bottom):
        show.regions(top, PARTS)
        show.dump(bottom, bytes(range(32)), PARTS[:1])
    assert "<title>The bytes of a very small file, in hex</title>" in drawing.picture.svg
