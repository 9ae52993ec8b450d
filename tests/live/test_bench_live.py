"""The peers of ``xlsr-ref bench`` compute what we compute: tiny random models, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


from bench_models import FAMILIES  # noqa: E402

import xlsr_ref  # noqa: E402
from weights_tools import peers, reference  # noqa: E402
from xlsr_ref.cli import main  # noqa: E402
from xlsr_ref.measure.bench import programs, turns  # noqa: E402
from xlsr_ref.measure.bench.random_model import write_random_model  # noqa: E402
from xlsr_ref.model.load import BUNDLED  # noqa: E402

FLOAT32 = 1e-4  # of the largest score, as everywhere in tests/live


@pytest.fixture(params=FAMILIES)
def folder(request, tmp_path):
    write_random_model(tmp_path / "tiny", FAMILIES[request.param])
    return tmp_path / "tiny"


def test_transformers_opens_a_random_model_and_gives_its_scores(folder, rng):
    waveform = (0.1 * rng.standard_normal(9000)).astype(np.float32)
    model = reference.load_reference(folder, torch.float32)
    values = reference.input_values(waveform, torch.float32, reference.load_extractor(folder))
    theirs = reference.run_reference(model, values, keep_stages=False).output
    ours = xlsr_ref.load(folder).logits(waveform, 16000)
    assert np.abs(ours - theirs).max() <= FLOAT32 * np.abs(theirs).max()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """No pauses, and torch's threads as they were."""
    monkeypatch.setattr(turns, "PAUSE", 0.0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def assert_same_scores(program: programs.Run, folder: Path, seconds: float) -> None:
    given = programs.waveforms(programs.Workload("noise", seconds), 16000)
    theirs, _ = program(given)
    ours = xlsr_ref.load(folder).logits(given[0], 16000)
    assert np.abs(ours - theirs).max() <= FLOAT32 * np.abs(theirs).max()


@pytest.mark.parametrize("name", ["torch", "torch-eager"])
def test_torch_computes_the_same(folder, name):
    assert_same_scores(peers.program(name, str(folder), 1, ""), folder, 1.5)


def test_onnxruntime_computes_the_same_at_any_length(folder):
    """The graph was traced at 5 s."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    graph = folder.parent / "graphs" / "tiny.onnx"
    peers.export(str(folder), graph, 5 * 16000)
    assert list(graph.parent.iterdir()) == [graph]
    program = peers.program("onnxruntime", str(folder), 1, str(graph))
    for seconds in (0.1, 1.5, 7):
        assert_same_scores(program, folder, seconds)
    noise = programs.waveforms(programs.Workload("noise", 0.1), 16000)
    assert program([*noise, *noise]) == (None, {})


def test_the_command_against_both(tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder, found = tmp_path / "tiny", tmp_path / "found.json"
    write_random_model(folder, FAMILIES["xlsr"])
    command = ["bench", "--model", str(folder), "--seconds", "2", "--rounds", "1", "--threads", "2"]
    assert main([*command, "--against", "torch,onnxruntime", "--json", str(found)]) == 0
    out, err = capsys.readouterr()
    assert err == "xlsr-ref: writing the graph for onnxruntime\n"
    (workload,) = json.loads(found.read_text(encoding="utf-8"))["workloads"]
    assert list(workload["programs"]) == ["xlsr_ref", "torch", "onnxruntime"]
    for name in ("torch", "onnxruntime"):
        assert 0 < workload["programs"][name]["furthest_from_ours"] <= FLOAT32
        assert workload["programs"][name]["seconds"][0] > 0
        assert f"\n{name} " in out


def test_a_pretrained_model_gives_its_last_hidden_state(capsys):
    bare = Path(__file__).resolve().parents[1] / "golden" / "bare"
    program = peers.program("torch", str(bare), 1, "")
    waveform = np.random.default_rng(1).standard_normal(9000).astype(np.float32)
    ours = xlsr_ref.load(bare).forward(waveform, 16000, keep=False)[0]
    theirs, _ = program([waveform])
    assert np.abs(ours - theirs).max() <= FLOAT32 * np.abs(theirs).max()


def test_torch_takes_a_list_in_padded_batches(monkeypatch):
    """Batches of 8 in the order given, each as long as its longest, with a mask: so this model was trained."""
    shapes = []
    model = peers.opened(str(BUNDLED), "sdpa")
    forward = model.forward
    model.forward = lambda x, attention_mask=None: (
        shapes.append((tuple(x.shape), attention_mask.sum(axis=1).tolist())) or forward(x, attention_mask)
    )
    monkeypatch.setattr(peers, "opened", lambda folder, attention: model)
    lengths = [1000 + 100 * i for i in range(11)]
    given = [np.random.default_rng(i).standard_normal(n).astype(np.float32) for i, n in enumerate(lengths)]
    assert peers.program("torch", str(BUNDLED), 1, "")(given) == (None, {})
    assert shapes == [((8, 1700), lengths[:8]), ((3, 2000), lengths[8:])]
