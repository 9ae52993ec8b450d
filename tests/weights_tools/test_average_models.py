"""The mean of models, by hand; and what has no mean."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from weights_tools.average_models import main
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays


@pytest.fixture
def model(tmp_path):
    def make(name, vocabulary="{}", **tensors):
        folder = tmp_path / name
        folder.mkdir()
        write_arrays(folder / "model.safetensors", {k: np.array(v, np.float32) for k, v in tensors.items()})
        (folder / "config.json").write_text(f'{{"name": "{name}"}}')
        (folder / "vocab.json").write_text(vocabulary)
        return str(folder)

    return make


def test_each_weight_is_the_mean(model, tmp_path):
    models = [model("one", w=[1, 2], b=[0]), model("two", w=[3, 6], b=[9]), model("three", w=[2, 1], b=[0])]
    main([str(tmp_path / "mean"), *models])
    mean = read_arrays(tmp_path / "mean" / "model.safetensors")
    assert {name: (tensor.tolist(), tensor.dtype) for name, tensor in mean.items()} == {
        "w": ([2, 3], np.float32), "b": ([3], np.float32),
    }  # fmt: skip
    assert (tmp_path / "mean" / "config.json").read_text() == '{"name": "one"}'


@pytest.mark.parametrize(
    ("others", "says"),
    [([], "one model has no mean"), ([{"w": [1]}], "two has other tensors than"),
     ([{"w": [1, 2], "vocabulary": '{"a": 0}'}], "two has another vocabulary than")],
)  # fmt: skip
def test_what_has_no_mean_is_one_line_and_writes_nothing(model, tmp_path, others, says):
    with pytest.raises(SystemExit, match=says):
        main([str(tmp_path / "mean"), model("one", w=[1, 2]), *(model("two", **other) for other in others)])
    assert not (tmp_path / "mean").exists()


def test_int8_weights_have_no_mean_without_their_scales(model, tmp_path):
    folders = [model("one", w=[1, 2]), model("two", w=[3, 6])]
    for folder in folders:
        save_file({"w": np.array([1, 2], np.int8)}, Path(folder) / "model.safetensors")
    with pytest.raises(SystemExit, match=r"w of .*one is int8: give models with floating-point weights"):
        main([str(tmp_path / "mean"), *folders])
    assert not (tmp_path / "mean").exists()


def test_the_mean_replaces_none_of_the_models(model, tmp_path):
    folders = [model("one", w=[1, 2]), model("two", w=[3, 6])]
    with pytest.raises(SystemExit, match="one is one of the models and would be replaced: give the mean another"):
        main([str(tmp_path / "two" / ".." / "one"), *folders])
    assert read_arrays(tmp_path / "one" / "model.safetensors")["w"].tolist() == [1, 2]
