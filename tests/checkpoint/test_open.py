"""The one door: config, vocabulary and tensors of every kind of source, read when somebody asks for them."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref.checkpoint
from xlsr_ref.checkpoint.open import open as open_checkpoint
from xlsr_ref.checkpoint.safetensors_file import read_safetensors
from xlsr_ref.checkpoint.tensors import arrays
from xlsr_ref.errors import ConfigError, VocabularyError, WeightsError

GOLDEN = Path(__file__).parents[1] / "golden"
FOREIGN = GOLDEN / "foreign"


@pytest.mark.parametrize(
    ("source", "golden"),
    [("xlsr", "xlsr"), ("foreign/torch", "xlsr"), ("foreign/flax", "xlsr"), ("foreign/fairseq_ctc", "xlsr"),
     ("foreign/fairseq_ctc/checkpoint.pt", "xlsr"), ("foreign/torch_old", "base"), ("foreign/fairseq_ctc_old", "base")],
)  # fmt: skip
def test_every_source_has_the_same_tensors_under_the_same_names(source, golden):
    opened = open_checkpoint(GOLDEN / source)
    tensors, files = opened.tensors()
    ours, expected = arrays(tensors), arrays(read_safetensors(GOLDEN / golden / "model.safetensors"))

    def spelled(name: str) -> str:  # torch's old spelling of the weight norm
        return name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        )

    assert {spelled(name) for name in ours} == {spelled(name) for name in expected}
    other = {spelled(name): array for name, array in expected.items()}
    for name, array in ours.items():
        np.testing.assert_array_equal(array, other[spelled(name)], strict=True)
    assert all(path.is_file() for path in files)
    assert opened.kind == "Wav2Vec2ForCTC"
    assert opened.config["hidden_size"] == json.loads((GOLDEN / golden / "config.json").read_text())["hidden_size"]


def test_a_folder_of_its_own_stays_and_a_made_one_goes():
    opened = open_checkpoint(GOLDEN / "xlsr")
    with opened.in_folder() as folder:
        assert folder == GOLDEN / "xlsr"
    opened = open_checkpoint(FOREIGN / "fairseq_ctc")
    assert set(opened.files) == {
        "vocab.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json",
    }  # fmt: skip
    with opened.in_folder() as folder:
        made = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert json.loads(made.pop("config.json")) == opened.config
        assert made == opened.files
    assert not folder.exists()
    with pytest.raises(VocabularyError, match=r"^SOURCE is wrong$"), opened.in_folder("SOURCE") as folder:
        raise VocabularyError(f"{folder} is wrong")


def test_a_config_that_is_there_is_checked_by_the_network_alone(tmp_path):
    """It is returned as it is; the tensors are not even looked at."""
    (tmp_path / "config.json").write_text('{"hidden_size": 7}')
    assert open_checkpoint(tmp_path).config == {"hidden_size": 7}
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="must hold a JSON object"):
        open_checkpoint(tmp_path)


def test_what_is_no_model(tmp_path):
    with pytest.raises(ConfigError, match="is not there; give the folder of a model"):
        open_checkpoint(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"config\.json is missing"):
        open_checkpoint(tmp_path)
    shutil.copy(FOREIGN / "torch" / "pytorch_model.bin", tmp_path)
    with pytest.raises(WeightsError, match=r"--set num_attention_heads=N.*; then: xlsr-ref weights convert "):
        open_checkpoint(tmp_path)


def test_the_folder_knows_no_network():
    """What is left of the package for it: ops, files, errors and the reading of what nobody has checked."""
    allowed = ("xlsr_ref.checkpoint", "xlsr_ref.ops", "xlsr_ref.files", "xlsr_ref.errors", "xlsr_ref.untrusted")
    for path in Path(xlsr_ref.checkpoint.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("xlsr_ref", "weights_tools")):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                assert all(name.startswith(allowed) for name in names), (path.name, names)
