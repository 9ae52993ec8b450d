"""The picture is what the script draws, its numbers are right, and nothing leaves its box."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from weights_tools.draw_pipeline import BOX_WIDTH, HEIGHT, MARGIN, PICTURE, WIDTH, Sizes, draw, stages

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("samples", "frames"), [(400, 1), (719, 1), (720, 2), (3280, 10), (16000, 49), (16080, 50), (160000, 499)]
)
def test_frames(samples, frames):
    assert Sizes(samples=samples).frames == frames


def test_hop_and_field():
    assert (Sizes().hop, Sizes().field) == (320, 400)
    other = Sizes(conv_dim=(8, 8), conv_kernel=(5, 2), conv_stride=(3, 2))
    assert (other.hop, other.field) == (6, 8)
    assert [Sizes(conv_dim=(8, 8), conv_kernel=(5, 2), conv_stride=(3, 2), samples=n).frames for n in (8, 13, 14)] == [
        1,
        1,
        2,
    ]


def test_shapes_of_one_second():
    assert [stage.output for stage in stages(Sizes())] == [
        "(16000,)",
        "(49, 512)",
        "(49, 1024)",
        "(49, 1024)",
        "(49, 1024)",
        "(49, 1024)",
        "(49, V)",
        "“hello”",
    ]


def test_the_committed_picture_is_the_drawn_one():
    assert PICTURE.read_text(encoding="utf-8") == draw()


def test_it_can_be_read_aloud_and_in_the_dark():
    root = ElementTree.fromstring(draw())
    assert root.find(f"{SVG}title").text
    assert "24 blocks" in root.find(f"{SVG}desc").text
    style = root.find(f"{SVG}style").text
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for name in re.findall(r"^\.(\w+) \{[^}]*#", light, flags=re.MULTILINE):  # every colour that a class sets
        assert f".{name} {{" in dark or name == "text"


def test_no_text_leaves_the_page_or_its_box():
    letter = 0.58  # width of a letter over the font's size: 0.53 to 0.58 in DejaVu Sans, the widest common face
    for element in ElementTree.fromstring(draw()).iter(f"{SVG}text"):
        x, width = float(element.get("x")), letter * float(element.get("font-size")) * len(element.text)
        left = x - width / 2 if element.get("text-anchor") == "middle" else x
        assert left >= MARGIN, element.text
        assert left + width <= WIDTH - MARGIN, element.text
        assert 0 < float(element.get("y")) < HEIGHT - MARGIN
    for stage in stages(Sizes()):
        assert letter * 16 * len(stage.title) <= BOX_WIDTH, stage
        assert letter * 13 * max(map(len, stage.lines)) <= BOX_WIDTH, stage
