"""The shipped weights: rounded as float16 rounds, refused where it cannot, and the same bytes every time."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from weights_tools.bundle_model import BUNDLED, COPIED, bundle, main, to_float16


@pytest.fixture
def source(tmp_path):
    """A model folder with two tensors, whose largest rounding error is known."""
    folder = tmp_path / "source"
    folder.mkdir()
    tensors = {"lm_head.bias": np.array([1 + 2**-12, 0.5], np.float32), "lm_head.weight": np.ones((2, 3), np.float32)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"dtype": "bfloat16", "vocab_size": 2}))
    for name in COPIED:
        (folder / name).write_bytes(b'{"\xc3\xa9": 0}\r\n')
    return folder


def test_only_the_dtype_changes(source, tmp_path):
    rounding = bundle(source, tmp_path / "target")
    assert rounding == (2**-12, "lm_head.bias")
    assert json.loads((tmp_path / "target/config.json").read_text()) == {"dtype": "float32", "vocab_size": 2}
    tensors = load_file(tmp_path / "target/model.safetensors")
    assert {name: (t.dtype, t.shape) for name, t in tensors.items()} == {
        "lm_head.bias": (np.float16, (2,)),
        "lm_head.weight": (np.float16, (2, 3)),
    }
    for name in COPIED:
        assert (tmp_path / "target" / name).read_bytes() == (source / name).read_bytes()


def test_the_copy_does_not_replace_its_source(source):
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    with pytest.raises(SystemExit, match="source is read and would be replaced: give the copy another folder"):
        main([str(source), "--target", str(source / ".." / "source")])
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_twice_gives_the_same_bytes_and_leaves_the_card(source, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "MODEL_CARD.md").write_text("a card")
    bundle(source, target)
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    bundle(source, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first
    assert first["MODEL_CARD.md"] == b"a card"
    assert set(first) == {*COPIED, "config.json", "model.safetensors", "MODEL_CARD.md"}


@pytest.mark.parametrize(
    ("value", "message"), [(65520.0, "float16 ends at 65504"), (np.nan, "NaN"), (-np.inf, "infinity")]
)
def test_what_float16_cannot_hold_is_refused_by_name(source, tmp_path, value, message):
    save_file({"wav2vec2.x": np.array([value], np.float32)}, source / "model.safetensors")
    with pytest.raises(ValueError, match=rf"wav2vec2\.x.*{message}"):
        bundle(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_65519_still_rounds_down_to_the_largest_half():
    halves, rounding = to_float16({"x": np.array([65519.0], np.float32)})
    assert halves["x"] == 65504
    assert rounding.error == 15


def test_a_tensor_of_integers_is_refused():
    with pytest.raises(ValueError, match="steps is int64"):
        to_float16({"steps": np.zeros(1, np.int64)})


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"^bundle_model: "):
        main([str(tmp_path / "nowhere"), "--target", str(tmp_path / "target")])


def test_the_shipped_model_is_float16_and_complete():
    names = {path.name for path in BUNDLED.iterdir()}
    assert names == {*COPIED, "config.json", "model.safetensors", "MODEL_CARD.md"}
    assert {t.dtype for t in load_file(BUNDLED / "model.safetensors").values()} == {np.dtype(np.float16)}
    config = json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))
    vocabulary = json.loads((BUNDLED / "vocab.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "float32"  # to compute in
    assert config["vocab_size"] == len(vocabulary) == len(set(vocabulary.values()))
