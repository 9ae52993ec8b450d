"""What torch and transformers write and read themselves, against xlsr_ref.checkpoint. Needs torch and transformers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.checkpoint.convert import convert
from xlsr_ref.checkpoint.floats import from_float
from xlsr_ref.checkpoint.read import read_file
from xlsr_ref.checkpoint.tensors import arrays

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

GOLDEN = Path(__file__).parents[1] / "golden"
RATE = 16000


def state_of(model: str) -> dict:
    from safetensors.torch import load_file

    return load_file(GOLDEN / model / "model.safetensors")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_what_torch_saves_is_read_byte_for_byte(tmp_path, new, protocol, dtype):
    state = {name: tensor.to(getattr(torch, dtype)) for name, tensor in state_of("xlsr").items()}
    torch.save(state, tmp_path / "x.bin", _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    ours = arrays(read_file(tmp_path / "x.bin").tensors)
    assert list(ours) == list(state)
    for name, tensor in state.items():
        assert ours[name].shape == tuple(tensor.shape)
        assert ours[name].tobytes() == tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("new", [True, False])
def test_a_modules_own_state_dict_and_a_trainers_checkpoint(tmp_path, new):
    layer = torch.nn.Linear(3, 4)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    saved = {
        "model": layer.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "device": torch.device("cpu"),
    }
    torch.save(saved, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    found = read_file(tmp_path / "x.pt")
    assert list(found.tensors) == ["weight", "bias"]
    assert found.beside["epoch"] == 3
    np.testing.assert_array_equal(arrays(found.tensors)["weight"], layer.weight.detach().numpy())


@pytest.mark.parametrize("model", ["xlsr", "base", "odd"])
@pytest.mark.parametrize("new", [True, False])
def test_logits_after_conversion_are_the_same_to_the_bit(tmp_path, model, new):
    """From a file that torch writes here, through the converter, in ours and in transformers."""
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(GOLDEN / model / "config.json", source)
    torch.save(state_of(model), source / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    convert(source, tmp_path / "out")
    with np.load(GOLDEN / model / "stages.npz") as stages:
        x = stages["waveform"]
    original = xlsr_ref.load(GOLDEN / model)
    for folder in (source, tmp_path / "out"):
        np.testing.assert_array_equal(xlsr_ref.load(folder).logits(x, RATE), original.logits(x, RATE), strict=True)
    values = torch.from_numpy(x)[None]
    with torch.no_grad():
        theirs, ours = (
            transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()(values).logits
            for folder in (GOLDEN / model, tmp_path / "out")
        )
    assert torch.equal(theirs, ours)


@pytest.mark.parametrize("source", ["fairseq_ctc", "fairseq_ctc_old", "flax", "torch_old"])
def test_transformers_opens_what_is_converted(tmp_path, source):
    golden = "base" if source.endswith("old") else "xlsr"
    config = transformers.Wav2Vec2Config.from_pretrained(GOLDEN / golden)
    convert(GOLDEN / "foreign" / source, tmp_path / "out", settings={"layer_norm_eps": config.layer_norm_eps})
    model, loading = transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    with np.load(GOLDEN / golden / "stages.npz") as stages:
        values = torch.from_numpy(stages["waveform"])[None]
    with torch.no_grad():
        ours = model.eval()(values).logits
        theirs = transformers.Wav2Vec2ForCTC.from_pretrained(GOLDEN / golden).eval()(values).logits
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("source", ["fairseq_ctc", "fairseq_ctc_old"])
def test_the_vocabulary_is_what_transformers_reads(tmp_path, source):
    convert(GOLDEN / "foreign" / source, tmp_path / "out")
    theirs = transformers.Wav2Vec2CTCTokenizer.from_pretrained(tmp_path / "out")
    ours = xlsr_ref.load(tmp_path / "out").tokenizer
    assert theirs.get_vocab() == ours.vocabulary
    ids = [0, 5, 5, 0, 5, 4, 6, 7]
    assert theirs.decode(ids) == ours.decode(ids)
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "out")
    assert extractor.do_normalize is (source == "fairseq_ctc")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_is_torchs(tmp_path, dtype, rng):
    bits = rng.integers(0, 2**32, 200_000, np.uint32)
    values = bits.view(np.float32)
    theirs = torch.from_numpy(values).to(getattr(torch, dtype))
    ours = from_float(values, {"float16": "F16", "bfloat16": "BF16"}[dtype])
    theirs_bits = theirs.view(torch.uint16).numpy()
    ours_bits = ours.view("<u2") if dtype == "float16" else ours["BF16"]
    number = ~np.isnan(values)
    np.testing.assert_array_equal(ours_bits[number], theirs_bits[number])
    assert torch.isnan(theirs[torch.from_numpy(~number)]).all()


def test_a_checkpoint_that_torch_itself_would_refuse_or_run(tmp_path):
    """A pickle inside a true file of torch's: torch.load with weights_only=False would run it."""
    from xlsr_ref.errors import WeightsError

    class Attack:
        def __reduce__(self):
            import os

            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"a": torch.ones(3), "b": Attack()}, tmp_path / "x.bin")
    with pytest.raises(WeightsError, match=r"\.mkdir, which no checkpoint needs"):
        read_file(tmp_path / "x.bin")
    assert not (tmp_path / "made").exists()
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert (tmp_path / "made").exists()
