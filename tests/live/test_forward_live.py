"""The forward pass against transformers itself, on models and sounds that nobody chose.

Every combination of the three settings that make a family is run for each of the three kinds of checkpoint; hypothesis
draws the sizes. transformers writes the folder, `xlsr_ref.load` reads it.
float64: 1e-9 of a stage's largest value. A drawn model may cancel digits (a norm over four channels that are nearly
equal), so this is wider than for the goldens. float32: 1e-4, or 4 times as far as torch's own float32 is from float64
where that is more: then it is the model that loses the digits.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import soundfile  # noqa: E402
from hypothesis import HealthCheck, Phase, given, note, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import xlsr_ref  # noqa: E402
from weights_tools import reference  # noqa: E402
from weights_tools.record_goldens import MODELS, bundled_clips, speech_like  # noqa: E402
from xlsr_ref.checkpoint.compare import assert_same, relative_error  # noqa: E402

DATA = Path(xlsr_ref.__file__).parent / "data"
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
RATE = 16000
MOST_SAMPLES = 8000  # of a drawn sound, about
FLOAT64, FLOAT32, FLOAT32_SLACK = 1e-9, 1e-4, 4


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """These models are so small that torch's threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- drawn models ----------------------------------------------------------------------------------------------------


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, Any]:
    """Everything about a model but its family: small, and as odd as transformers allows."""
    layers = draw(st.integers(1, 8), "convolutions")
    heads, head_size = draw(st.integers(1, 6), "heads"), draw(st.integers(1, 7), "head size")
    hidden = max(heads * head_size, 4)
    if hidden % heads:
        heads = 1
    divisors = [group for group in range(1, hidden + 1) if hidden % group == 0]

    def one_each(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, ...]]:
        return st.lists(values, min_size=layers, max_size=layers).map(tuple)

    return {
        "conv_dim": draw(one_each(st.integers(4, 12)), "conv_dim"),
        "conv_kernel": draw(one_each(st.integers(1, 6)), "conv_kernel"),
        "conv_stride": draw(one_each(st.integers(1, 3)), "conv_stride"),
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": draw(st.integers(1, 3), "blocks"),
        "intermediate_size": draw(st.integers(1, 30), "intermediate_size"),
        "num_conv_pos_embeddings": draw(st.integers(1, 20), "positional kernel"),
        "num_conv_pos_embedding_groups": draw(st.sampled_from(divisors), "groups"),
        "layer_norm_eps": draw(st.sampled_from([1e-5, 1e-3, 1e-7, 0.1]), "layer_norm_eps"),
        "vocab_size": draw(st.integers(1, 9), "vocab_size"),
        "mask_time_prob": draw(st.sampled_from([0.0, 0.05]), "mask_time_prob"),  # 0: no masked_spec_embed in the file
        "num_codevector_groups": 2,
        "num_codevectors_per_group": 3,
        "codevector_dim": 6,
        "proj_codevector_dim": 5,
    }


def samples_for(config: dict[str, Any], extra_frames: int, remainder: float) -> int:
    """Samples that give 1 + extra_frames frames, fewer where the hop is long, and leave a part of a hop over."""
    field, hop = 1, 1
    for kernel, stride in zip(config["conv_kernel"], config["conv_stride"]):
        field += (kernel - 1) * hop
        hop *= stride
    frames = min(extra_frames, MOST_SAMPLES // hop)
    least = field + frames * hop + int(remainder * hop)
    # torch refuses to normalise a group of one value, so the first convolution must give two frames
    return max(least, config["conv_kernel"][0] + config["conv_stride"][0])


def assert_agrees(folder: Path, waveform: np.ndarray, what: str) -> None:
    """Load ``folder`` both ways and compare everything, in float64 and float32."""
    extractor = reference.load_extractor(folder)
    truth, single = (
        reference.run_reference(
            reference.load_reference(folder, dtype), reference.input_values(waveform, dtype, extractor)
        )
        for dtype in (torch.float64, torch.float32)
    )
    float32_limits = {
        name: max(FLOAT32, FLOAT32_SLACK * relative_error(single.stages[name], stage))
        for name, stage in truth.stages.items()
    }
    for dtype, limits in (("float64", FLOAT64), ("float32", float32_limits)):
        model = xlsr_ref.load(folder, dtype=dtype)
        output, stages = model.forward(waveform, RATE, keep=True)
        assert output.dtype == np.dtype(dtype)
        assert list(stages) == list(truth.stages)
        assert_same({name: stage.output for name, stage in stages.items()}, truth.stages, limits, f"{what} in {dtype}")
        if dtype == "float32":
            continue
        assert_same({"output": output}, {"output": truth.output}, FLOAT64, what)
        states = {f"hidden state {i}": state for i, state in enumerate(model.hidden_states(waveform, RATE))}
        expected = {f"hidden state {i}": state for i, state in enumerate(truth.hidden_states)}
        assert states.keys() == expected.keys()
        assert_same(states, expected, FLOAT64, what)
        weights = {
            f"{name}.attention": stage.cache.attention.heads.weights
            for name, stage in stages.items()
            if ".layers." in f".{name}" and "conv_layers" not in name
        }
        assert_same(weights, truth.attention, FLOAT64, what)


@pytest.mark.parametrize("kind", list(reference.KINDS))
@pytest.mark.parametrize("stable", [True, False], ids=["pre-norm", "post-norm"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_any_model_agrees_with_transformers(
    norm: str, bias: bool, stable: bool, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @settings(
        max_examples=4,  # of each of the 24 combinations
        deadline=None,
        database=None,
        phases=[Phase.generate],  # no shrinking: the models are small already, and each step would take a second
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(sizes(), st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(0, 0.99))
    def check(config: dict[str, Any], seed: int, extra_frames: int, remainder: float) -> None:
        config = config | {"feat_extract_norm": norm, "conv_bias": bias, "do_stable_layer_norm": stable}
        note(json.dumps(config))
        rng = np.random.default_rng(seed)
        folder = tmp_path_factory.mktemp("drawn")
        reference.random_model(kind, config, rng).save_pretrained(folder)
        assert_agrees(folder, speech_like(samples_for(config, extra_frames, remainder), rng), kind)
        shutil.rmtree(folder)

    check()


# --- one model, stored in every way ----------------------------------------------------------------------------------


@pytest.fixture
def xlsr(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A folder with a small model of XLSR's family, as transformers saves it, and a sound."""
    kind, samples, config = MODELS["xlsr"]
    rng = np.random.default_rng(11)
    folder = tmp_path / "saved"
    reference.random_model(kind, config, rng).save_pretrained(folder)
    return folder, speech_like(samples, rng)


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_precision_files(xlsr: tuple[Path, np.ndarray], stored: str, tmp_path: Path) -> None:
    folder, waveform = xlsr
    model = reference.load_reference(folder, getattr(torch, stored))
    model.save_pretrained(tmp_path / stored)
    assert {tensor.dtype for tensor in load_file(tmp_path / stored / "model.safetensors").values()} == {model.dtype}
    assert_agrees(tmp_path / stored, waveform, stored)


def test_sharded_files(xlsr: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    folder, waveform = xlsr
    reference.load_reference(folder, torch.float32).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert_agrees(tmp_path / "shards", waveform, "sharded")


@pytest.mark.parametrize("variant", ["no prefix", "weight_g and weight_v", "extra tensors"])
def test_other_names(xlsr: tuple[Path, np.ndarray], variant: str) -> None:
    """transformers reads all of these; what it computes from them is what ours must."""
    folder, waveform = xlsr
    tensors = load_file(folder / "model.safetensors")
    spelled = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    if variant == "no prefix":
        tensors = {name.removeprefix("wav2vec2."): tensor for name, tensor in tensors.items()}
    elif variant == "extra tensors":
        tensors |= {"quantizer.codevectors": torch.ones(1, 6, 3), "project_hid.bias": torch.ones(5)}
    else:
        for new, old in spelled.items():
            tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    assert set(tensors) != set(load_file(folder / "model.safetensors"))
    before = xlsr_ref.load(folder, dtype="float64").logits(waveform, RATE)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = xlsr_ref.load(folder, dtype="float64")
    theirs = reference.run_reference(
        reference.load_reference(folder, torch.float64),
        reference.input_values(waveform, torch.float64, reference.load_extractor(folder)),
    )
    ours, stages = model.forward(waveform, RATE)
    assert_same({"logits": ours}, {"logits": theirs.output}, FLOAT64, variant)
    np.testing.assert_array_equal(ours, before)
    assert any(name.startswith("wav2vec2.") for name in stages) == (variant != "no prefix")


# --- the bundled model, on real speech -------------------------------------------------------------------------------


def test_bundled_clips_read_as_transformers_reads_them() -> None:
    assert_same_text([DATA / clip["path"] for clip in bundled_clips(DATA)])


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not beside this checkout")
@pytest.mark.parametrize("part", ["asterisk", "fsdd", "librivox"])
def test_corpus_reads_as_transformers_reads_it(part: str) -> None:
    rows = [line.split("\t") for line in (CORPUS / f"{part}.tsv").read_text(encoding="utf-8").splitlines()]
    path, split = rows[0].index("path"), rows[0].index("split")
    assert_same_text([CORPUS / row[path] for row in rows[1:] if row[split] == "test"])


def assert_same_text(paths: list[Path]) -> None:
    """The same text from both, clip by clip; a failure says how close the call was."""
    assert paths
    ours = xlsr_ref.load()
    theirs = reference.Transcriber(DATA / "small-ctc")
    transcripts = ours.transcribe(paths)
    wrong = []
    for path, transcript in zip(paths, transcripts):
        waveform, rate = soundfile.read(path, dtype="float32")
        assert rate == ours.preprocessor.sampling_rate
        expected = theirs.logits(waveform)
        if transcript.text != theirs.text(expected):
            best = np.sort(expected, axis=-1)[:, -2:]
            off = np.abs(ours.logits(waveform, rate) - expected).max()
            margin = (best[:, 1] - best[:, 0]).min()
            wrong.append(f"{path.name}: {transcript.text!r} but {theirs.text(expected)!r}: {off=:.2g} {margin=:.2g}")
    assert not wrong, f"{len(wrong)} of {len(paths)} clips differ, the first: {wrong[0]}"
