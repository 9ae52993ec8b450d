"""Folders of weights: one file or several with their index, and every way in which they can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_checkpoints import refusal, sharded, weights, write_index

from xlsr_ref.checkpoint.read import read_folder
from xlsr_ref.checkpoint.tensors import arrays


def test_the_index_decides_which_shard_is_right(tmp_path):
    save_file({"a": np.zeros(2), "b": np.zeros(2)}, tmp_path / "1")
    save_file({"a": np.ones(2), "c": np.ones(2)}, tmp_path / "2")
    write_index(tmp_path, {"weight_map": {"a": "1", "c": "2"}})
    found, files = read_folder(tmp_path)
    flat = arrays(found.tensors)
    assert {name: array[0] for name, array in flat.items()} == {"a": 0, "b": 0, "c": 1}  # b: unlisted, and kept
    assert files == (tmp_path / "1", tmp_path / "2")


@pytest.mark.parametrize(
    "home",
    ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "C:x", "~root", "a\0b", "a\nb", 3, None, ["a"], "x" * 300],
)
def test_a_shard_must_lie_in_the_folder(tmp_path, home):
    index = sharded(tmp_path, weights())
    index["weight_map"]["lm_head.bias"] = home
    write_index(tmp_path, index)
    assert "the shard of lm_head.bias must be a file name in this folder" in refusal(read_folder, tmp_path)


def test_lying_indexes_are_refused(tmp_path):
    index = sharded(tmp_path, weights())
    for broken in ({}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": ["a"]}, {"weight_map": None}):
        write_index(tmp_path, broken)
        assert "weight_map must be an object" in refusal(read_folder, tmp_path)
    write_index(tmp_path, {"weight_map": index["weight_map"] | {"extra": "model-00002-of-00002.safetensors"}})
    assert "lacks what model.safetensors.index.json says it has: extra" in refusal(read_folder, tmp_path)
    write_index(tmp_path, {"weight_map": index["weight_map"] | {"extra": "model-00003-of-00003.safetensors"}})
    assert "model-00003-of-00003.safetensors is missing" in refusal(read_folder, tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert "not valid JSON" in refusal(read_folder, tmp_path)
    write_index(tmp_path, index)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert "is empty" in refusal(read_folder, tmp_path)


def test_folders_without_weights(tmp_path):
    assert "not there" in refusal(read_folder, tmp_path / "nowhere")
    assert "has no weights: expected model.safetensors, model.safetensors.index.json, pytorch_model.bin" in refusal(
        read_folder, tmp_path
    )
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    assert "the zip file has no directory at its end" in refusal(read_folder, tmp_path)
    assert "a file, not a model folder" in refusal(read_folder, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").mkdir()
    assert "not a regular file" in refusal(read_folder, tmp_path)


def test_an_index_of_safetensors_names_nothing_else(tmp_path, torch_files, numbers):
    """A pickle is read nowhere where the name says that there is none."""
    pickled = torch_files.zip(torch_files.state({"a": ("0", 4, 0, (4,), (1,))}), {"0": numbers[0]})
    write_index(tmp_path, {"weight_map": {"a": pickled.name}})
    assert "cut short or not safetensors" in refusal(read_folder, tmp_path)
