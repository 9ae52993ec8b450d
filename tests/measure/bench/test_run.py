"""The command ``xlsr-ref bench``, mostly with programs that only pretend; once for real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.cli import main
from xlsr_ref.measure.bench import programs, random_model, run, stages, turns
from xlsr_ref.measure.bench.result import ONE_THREAD
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.wav2vec2.config import Config

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path, no_pause):
    monkeypatch.chdir(tmp_path)


def lines_that_begin(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(words)]


# --- for real --------------------------------------------------------------------------------------------------------


def test_the_whole_command(tiny_model, capsys):
    options = ["--seconds", "0.5", "--rounds", "1", "--threads", "2", "--scaling"]
    assert main(["bench", "--model", str(tiny_model), *options, "--json", "b.json", "--plot", "b.svg"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for begin in ("machine", "versions", "model     tiny: Wav2Vec2ForCTC", "stage", *stages.FUNCTIONS, "the rest"):
        assert len(lines_that_begin(out, begin)) == 1
    assert len(lines_that_begin(out, "xlsr_ref ", "xlsr_ref on 1 thread")) == 2
    assert out.splitlines()[-1].startswith("time on 1 thread ÷ time on all: ")

    found = json.loads(Path("b.json").read_text(encoding="utf-8"))
    (workload,) = found["workloads"]
    config = Config.from_folder(tiny_model)
    assert workload["flops"] == stages.all_flops(config, "Wav2Vec2ForCTC", 8000)
    assert workload["flops"] == sum(stage["flops"] for stage in workload["stages"].values())
    mine = workload["programs"]["xlsr_ref"]
    in_stages = sum(stage["seconds"][0] for stage in workload["stages"].values())
    assert in_stages == pytest.approx(mine["seconds"][0])  # the rest is what is missing
    assert all(stage["seconds"][0] > 0 for stage in workload["stages"].values())
    assert mine["first_run"] > 0
    assert mine["furthest_from_ours"] == 0
    assert workload["programs"][ONE_THREAD]["furthest_from_ours"] == 0  # the same bits
    if sys.platform == "linux":
        assert 2**24 < mine["peak_memory"] < 2**32
    assert workload["peak_flops_per_second"][0] > 1e8
    assert workload["copy_bytes_per_second"][0] > 1e7
    ElementTree.parse("b.svg")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_control_c_leaves_nothing_behind(tiny_model, tmp_path):
    command = [sys.executable, "-m", "xlsr_ref", "bench", "--model", str(tiny_model), "--seconds", "1"]
    package = str(Path(xlsr_ref.__file__).parents[1])
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": package}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
    with subprocess.Popen([*command, "--rounds", "100000"], **pipes, preexec_fn=heeds_control_c) as process:
        try:
            assert process.stdout.readline().startswith(b"machine")  # all programs are open
            workers = children(process.pid)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, b"xlsr-ref: interrupted\n")
    assert len(workers) == 2
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
    assert os.listdir(tmp_path) == []


def heeds_control_c():
    """A program that was started in the background inherits deafness to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# --- with programs that pretend --------------------------------------------------------------------------------------


def bench(*options: str) -> int:
    return main(["bench", "--threads", "2", *options])


def test_the_default_is_the_bundled_model_at_three_lengths(fakes, capsys):
    assert bench() == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert lines_that_begin(out, "model") == [
        f"model     small-ctc: Wav2Vec2ForCTC, {xlsr_ref.load().report.parameters:,} parameters, float32"
    ]
    lengths = lines_that_begin(out, "5 s", "10 s", "30 s")
    assert [line.split(" of audio")[0] for line in lengths] == ["5 s", "10 s", "30 s"]
    assert {worker.name: len(worker.asked) for worker in fakes.all} == {"peak": 18, "xlsr_ref": 18}
    assert all(worker.closed for worker in fakes.all)


def test_peers_have_lines_of_their_own(fakes, capsys):
    assert bench("--seconds", "2", "--against", "torch, torch-eager,torch") == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = lines_that_begin(out, "torch", "xlsr_ref ")
    assert [line.split()[0] for line in lines] == ["xlsr_ref", "torch", "torch-eager"]
    assert lines_that_begin(out, "torch ")[0].split()[-4:] == ["0.50", "0.50", "to", "0.50"]
    assert [worker.name for worker in fakes.all] == ["peak", "xlsr_ref", "torch", "torch-eager"]
    assert {worker.threads for worker in fakes.all} == {2}


def test_each_round_is_kept(fakes):
    assert bench("--seconds", "2,1", "--rounds", "4", "--against", "torch", "--json", "b.json") == 0
    found = json.loads(Path("b.json").read_text(encoding="utf-8"))
    assert (found["threads"], found["rounds"], found["model"]) == (2, 4, "small-ctc")
    assert found["xlsr_ref"] == xlsr_ref.__version__
    assert found["opened"] == {"xlsr_ref": 0.25, "torch": 0.25}
    assert set(found["machine"]) == {"cpu", "cores", "usable_cores", "system", "blas", "features", "product",
                                     "load", "versions"}  # fmt: skip
    assert [workload["name"] for workload in found["workloads"]] == ["2 s of audio", "1 s of audio"]
    for workload, seconds in zip(found["workloads"], (2, 1)):
        assert set(workload) == {
            "name", "kind", "audio_seconds", "flops", "peak_flops_per_second", "copy_bytes_per_second", "programs",
            "stages",
        }  # fmt: skip
        assert workload["audio_seconds"] == seconds
        assert workload["peak_flops_per_second"] == [40e9] * 4
        assert workload["copy_bytes_per_second"] == [10e9] * 4
        assert workload["programs"] == {
            "xlsr_ref": {"seconds": [0.5] * 4, "first_run": 1.5, "peak_memory": 2**30, "furthest_from_ours": 0.0},
            "torch": {"seconds": [1.0] * 4, "first_run": 3.0, "peak_memory": 2**30, "furthest_from_ours": 0.0},
        }
        assert list(workload["stages"]) == [*stages.FUNCTIONS, stages.REST]
        assert workload["stages"][stages.REST]["seconds"] == pytest.approx([0.5 - 8 * 0.05] * 4)
        assert sum(stage["flops"] for stage in workload["stages"].values()) == workload["flops"]


def test_short_and_clips(fakes, capsys):
    assert bench("--short", "--clips", "--json", "b.json") == 0
    short, clips = json.loads(Path("b.json").read_text(encoding="utf-8"))["workloads"]
    assert abs(short["audio_seconds"] - 3) < 0.1
    assert 64 * 2 < clips["audio_seconds"] < 64 * 4
    assert clips["stages"] == {}
    assert clips["programs"]["xlsr_ref"]["furthest_from_ours"] is None
    config = Config.from_folder(BUNDLED)
    given = programs.waveforms(programs.Workload("clips"), 16000)
    assert len(given) == 64
    assert clips["flops"] == sum(stages.all_flops(config, "Wav2Vec2ForCTC", len(clip)) for clip in given)
    asked = [programs.Workload(*json.loads(line)) for line in fakes.all[0].asked]
    assert asked == [programs.Workload("short")] * 6 + [programs.Workload("clips")] * 6
    assert "xlsr_ref: " in capsys.readouterr().out


def test_one_thread(fakes, capsys):
    assert bench("--seconds", "2", "--scaling") == 0
    assert [(worker.name, worker.threads) for worker in fakes.all] == [("peak", 2), ("xlsr_ref", 2), ("xlsr_ref", 1)]
    assert capsys.readouterr().out.splitlines()[-1] == "time on 1 thread ÷ time on all: 2.00"


def test_a_random_model_is_made_and_removed(fakes, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(random_model.SIZES, "xlsr-53", json.loads((GOLDEN / "xlsr" / "config.json").read_text()))
    monkeypatch.setattr(run.tempfile, "tempdir", str(tmp_path))
    assert bench("--size", "xlsr-53", "--seconds", "1") == 0
    out, err = capsys.readouterr()
    assert err == "xlsr-ref: writing a model of xlsr-53's size with random weights: 0.00 GB\n"
    assert lines_that_begin(out, "model     xlsr-53: Wav2Vec2ForCTC")
    assert os.listdir(tmp_path) == []

    assert bench("--size", "xlsr-53", "--seconds", "1", "--keep", "kept") == 0
    weights = Path("kept/xlsr-53/model.safetensors")
    before = weights.stat().st_mtime_ns
    capsys.readouterr()
    assert bench("--size", "xlsr-53", "--seconds", "1", "--keep", "kept") == 0
    assert (capsys.readouterr().err, weights.stat().st_mtime_ns) == ("", before)


def test_a_pretrained_model_has_no_head(fakes, capsys):
    assert bench("--model", str(GOLDEN / "bare"), "--seconds", "1") == 0
    assert "\nhead" not in capsys.readouterr().out


# --- the graph -------------------------------------------------------------------------------------------------------


def test_the_graph_is_made_once_for_the_same_weights(fakes, tmp_path):
    model = Path(shutil.copytree(BUNDLED, "model"))
    options = ["--model", "model", "--seconds", "1", "--against", "onnxruntime", "--keep", "kept"]

    def graphs() -> list[str]:
        """What was asked for; then it is there, as if it had been written."""
        assert bench(*options) == 0
        wanted = [worker.graph for worker in fakes.all if worker.name == "onnxruntime"]
        exported = [worker.graph for worker in fakes.all if worker.name == "export"]
        fakes.all.clear()
        for graph in wanted:
            Path(graph).parent.mkdir(parents=True, exist_ok=True)
            Path(graph).touch()
        assert exported in ([], wanted)
        return exported

    (first,) = graphs()
    assert Path(first).parent == Path("kept/graphs")
    assert graphs() == []
    os.utime(model / "model.safetensors", ns=(1, 1))
    (second,) = graphs()
    assert second != first


def test_a_graph_that_cannot_be_made(fakes, capsys):
    fakes.fail["export", 0] = "RuntimeError: no such operator"
    assert bench("--seconds", "1", "--against", "onnxruntime") == 0
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "xlsr-ref: onnxruntime is left out: RuntimeError: no such operator"
    assert [worker.name for worker in fakes.all] == ["peak", "xlsr_ref"]


# --- what is missing or wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "absent", "line"),
    [
        ("torch", {"torch"}, "torch is left out: pip install torch"),
        ("torch-eager", {"torch", "transformers"}, "torch-eager is left out: pip install torch transformers"),
        ("onnxruntime", {"onnx"}, "onnxruntime is left out: pip install onnx"),
        (
            "torch",
            {"torch", "weights_tools"},
            "torch is left out: it needs a clone of xlsr_ref, installed there with pip install -e .",
        ),
    ],
)
def test_a_peer_that_is_not_installed(fakes, monkeypatch, capsys, peer, absent, line):
    monkeypatch.setattr(programs, "missing", lambda packages: [name for name in packages if name in absent])
    assert bench("--seconds", "1", "--against", peer) == 0
    out, err = capsys.readouterr()
    assert err == f"xlsr-ref: {line}\n"
    assert [worker.name for worker in fakes.all] == ["peak", "xlsr_ref"]
    assert "÷ it" not in out


def test_missing_packages():
    assert programs.missing(["numpy", "no_such_package", "json"]) == ["no_such_package"]


def test_a_module_that_was_forbidden_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert programs.missing(["onnxruntime"]) == ["onnxruntime"]


@pytest.mark.parametrize("question", [0, 1, 3])
def test_a_peer_that_stops_is_left_out(fakes, capsys, question):
    fakes.fail["torch", question] = "the system ended it"
    assert bench("--seconds", "1,2", "--against", "torch", "--json", "b.json") == 0
    out, err = capsys.readouterr()
    assert err == "xlsr-ref: torch is left out: the system ended it\n"
    assert lines_that_begin(out, "torch ") == []
    for workload in json.loads(Path("b.json").read_text(encoding="utf-8"))["workloads"]:
        assert list(workload["programs"]) == ["xlsr_ref"]


@pytest.mark.parametrize("name", ["xlsr_ref", "peak"])
@pytest.mark.parametrize("question", [0, 2])
def test_without_ours_there_is_nothing_to_show(fakes, capsys, name, question):
    fakes.fail[name, question] = "it stopped with status 3"
    assert bench("--seconds", "1", "--against", "torch") == 1
    assert capsys.readouterr().err == f"xlsr-ref: {name}: it stopped with status 3\n"
    assert all(worker.closed for worker in fakes.all)


@pytest.mark.parametrize("score", [2.1, float("nan"), float("inf")])
def test_a_peer_that_computes_something_else_is_named(fakes, capsys, score):
    fakes.scores["torch"] = score
    assert bench("--seconds", "1", "--against", "torch", "--json", "b.json") == 0
    assert capsys.readouterr().err.startswith("xlsr-ref: torch computes something else: ")
    text = Path("b.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "two"], "--seconds: 'two' is not a number above 0 and up to 36000"),
        (["--seconds", "5,,10"], "--seconds: '' is not a number"),
        (["--seconds", "0"], "--seconds: '0' is not a number above 0"),
        (["--seconds", "-3"], "--seconds: '-3' is not a number above 0"),
        (["--seconds", "nan"], "--seconds: 'nan' is not"),
        (["--seconds", "36001"], "--seconds: '36001' is not"),
        (["--against", "torch,jax"], "--against: 'jax' is not one of torch, torch-eager, onnxruntime"),
        (["--size", "huge"], "--size: 'huge' is not one of xlsr-53, base"),
        (["--size", "base", "--model", "m"], "give --model or --size, not both"),
        (["--threads", "0"], "--threads is 0: give a whole number from 1"),
        (["--threads", "two"], "argument --threads: invalid int value: 'two'"),
        (["--rounds", "0"], "--rounds is 0: give at least 1"),
        (["--scaling", "--threads", "1"], "--scaling compares with one thread: give --threads 2 or more"),
        (["--plot", "roof.gif"], "--plot: 'roof.gif' must end in .svg or .png"),
        (["--plot", "roof.svg", "--clips"], "--plot shows stages"),
        (["--model"], "argument --model: expected one argument"),
    ],
)
def test_wrong_usage(fakes, capsys, options, message):
    assert bench(*options) == 2
    out, err = capsys.readouterr()
    assert (out, fakes.all) == ("", [])
    assert err.startswith("usage: xlsr-ref bench")
    assert message in err.splitlines()[-1]


@pytest.mark.parametrize("option", ["--json", "--plot"])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere/b.svg", "nowhere/b.svg cannot be written: No such file or directory"),
        ("file/b.svg", "file/b.svg cannot be written: Not a directory"),
        ("folder.svg", "folder.svg is a folder: give the name of a file"),
    ],
)
def test_what_cannot_be_written_is_said_first(fakes, capsys, option, place, message):
    Path("folder.svg").mkdir()
    Path("file").touch()
    assert bench("--seconds", "1", option, place) == 1
    assert capsys.readouterr() == ("", f"xlsr-ref: {message}\n")
    assert fakes.all == []


def test_asking_first_leaves_no_empty_file(fakes, capsys):
    fakes.fail["xlsr_ref", 1] = "x"
    Path("old.json").write_text("kept")
    assert bench("--seconds", "1", "--json", "old.json", "--plot", "new.svg") == 1
    assert (Path("old.json").read_text(), os.listdir()) == ("kept", ["old.json"])


@pytest.mark.parametrize("options", [["--model", "nowhere"], ["--model", "file"], ["--seconds", "0.01"]])
def test_wrong_models_and_too_little_sound_are_one_line(fakes, capsys, options):
    Path("file").touch()
    assert bench(*options) == 1
    out, err = capsys.readouterr()
    assert (out, fakes.all) == ("", [])
    assert len(err.splitlines()) == 1


def test_clips_need_a_vocabulary(fakes, capsys, tiny_model):
    assert bench("--clips", "--model", str(tiny_model)) == 1
    assert capsys.readouterr().err == (
        "xlsr-ref: --clips transcribes: give a --model with an lm_head and a vocab.json\n"
    )


def test_an_interruption_closes_all(fakes, capsys, monkeypatch):
    def interrupt(self, line):
        raise KeyboardInterrupt

    monkeypatch.setattr(fakes, "ask", interrupt)
    assert bench("--seconds", "1", "--json", "b.json") == 130
    assert capsys.readouterr().err == "xlsr-ref: interrupted\n"
    assert [worker.closed for worker in fakes.all] == [True, True]
    assert os.listdir() == []


def test_a_terminal_sees_who_is_at_work(fakes, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fakes.fail["torch", 3] = "x"
    assert bench("--seconds", "2", "--rounds", "2", "--against", "torch") == 0
    shown = capsys.readouterr().err.split("\r\x1b[K")
    assert "2 s of audio: round 1 of 2, torch" in shown
    assert "xlsr-ref: torch is left out: x\n" in shown  # on a line of its own
    assert shown[-1] == ""


# --- the programs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ours():
    """Our program as the worker has it, in this process."""
    yield lambda folder: programs.ours(str(folder))
    programs.TO_THE_END.close()


def test_ours_gives_scores_and_the_time_of_this_run(ours, tiny_model, noise):
    program = ours(tiny_model)
    scores, first = program([noise])
    np.testing.assert_array_equal(scores, xlsr_ref.load(tiny_model).forward(noise, 16000, keep=False)[0])
    _, second = program([noise])
    assert set(first) == set(second) == set(stages.FUNCTIONS)
    assert second["feed-forward"] < 2 * first["feed-forward"] + 1  # not a running sum
    assert first is not second


def test_ours_takes_a_list_as_a_list(ours, noise, monkeypatch):
    heard = []
    monkeypatch.setattr(xlsr_ref.Model, "transcribe", lambda model, *given: heard.append(given))
    assert ours(BUNDLED)([noise, noise]) == (None, {})
    assert heard == [([noise, noise], 16000)]


def test_the_answer_to_a_workload(monkeypatch):
    monkeypatch.setattr(turns, "timed", lambda run, at_least: ([3.0, 1.0, 2.0], 2, run()))
    forgotten = []
    monkeypatch.setattr(programs.machine, "forget_peak_memory", lambda: forgotten.append(1))
    heard = []

    def program(given):
        heard.append([len(one) for one in given])
        return np.arange(1000.0).reshape(100, 10), {"norms": 0.5}

    job = programs.job_of(program, 8000)
    answer = job(json.dumps(programs.Workload("noise", 0.5)))
    assert (answer["seconds"], answer["runs"], answer["stages"]) == (2.0, [3.0, 1.0, 2.0], {"norms": 0.5})
    assert (answer["scores"][0], answer["scores"][-1], len(answer["scores"])) == (0.0, 999.0, programs.SAMPLED)
    job(json.dumps(programs.Workload("noise", 0.5)))
    assert len(forgotten) == 1  # once for each workload
    job(json.dumps(programs.Workload("short")))
    assert len(forgotten) == 2
    assert heard[:2] == [[4000], [4000]]
    assert abs(heard[2][0] - 3 * 8000) < 800


def test_a_program_in_its_process(monkeypatch):
    started = []
    monkeypatch.setattr(turns, "Worker", lambda *given: started.append(given))
    theirs, ours = "weights_tools.peers", "xlsr_ref.measure.bench.programs"
    for name, module in {"torch": theirs, programs.EXPORT: theirs, programs.OURS: ours, programs.PEAK: ours}.items():
        programs.worker(name, "folder", 3, "graph")
        arguments, environment = started.pop()
        assert arguments[-5:] == [module, name, "folder", "3", "graph"]
        assert environment == {"XLSR_REF_THREADS": "3", "HF_HUB_OFFLINE": "1"}


def test_clips_are_of_2_to_4_seconds():
    given = programs.waveforms(programs.Workload("clips"), 16000)
    assert all(2 * 16000 <= len(clip) <= 4 * 16000 and clip.dtype == np.float32 for clip in given)
    assert len({len(clip) for clip in given}) > 3


def test_int8_takes_its_turns_beside_ours(fakes, capsys):
    assert bench("--seconds", "2", "--weights", "int8", "--against", "onnxruntime-int8") == 0
    lines = lines_that_begin(capsys.readouterr().out, "xlsr_ref", "onnxruntime")
    assert [line.split()[0] for line in lines] == ["xlsr_ref", "xlsr_ref-int8", "onnxruntime-int8"]
    assert [worker.name for worker in fakes.all][-4:] == ["peak", "xlsr_ref", "xlsr_ref-int8", "onnxruntime-int8"]
