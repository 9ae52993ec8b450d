"""The conformance kit: its numbers are the library's, each known mistake is found by its numbers, files are read."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.cli import main
from xlsr_ref.errors import XlsrError
from xlsr_ref.losses.ctc import ctc_loss, ctc_loss_backward
from xlsr_ref.teach.conformance import check, network, write
from xlsr_ref.teach.conformance.compare import read_kit
from xlsr_ref.teach.conformance.slips import slips


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("conformance") / "kit")


@pytest.fixture(scope="module")
def kit(folder):
    """Read once: it keeps the stages of each network with a mistake."""
    return read_kit(folder)


@pytest.fixture(scope="module")
def right(kit):
    return kit.right


@pytest.fixture(scope="module")
def with_mistakes(kit):
    """The stages of the network with each known mistake, by its words."""
    source = inspect.getsource(network)
    found = {slip.words: kit.stages(slip.applied(source)) for slip in slips()}
    assert all(found.values())
    return found


def test_the_numbers_are_the_librarys(folder, kit, right):
    """The kit's network stands in one file of its own; this holds it to the one that everybody runs."""
    model = xlsr_ref.load(folder / "model", dtype=np.float64)
    x = audio.normalise(kit.samples)
    np.testing.assert_allclose(right["waveform"], x, rtol=0, atol=1e-12)
    logits, stages = model.forward(kit.samples, 16000)
    known = {name.removeprefix("wav2vec2."): stage.output for name, stage in stages.items()}
    compared = [name for name in right if name in known]
    assert len(compared) >= 9
    for name in compared:
        np.testing.assert_allclose(right[name], known[name], rtol=0, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(right["lm_head"], logits, rtol=0, atol=1e-10)
    loss, cache = ctc_loss(logits, list(kit.targets), kit.config["pad_token_id"])
    assert abs(loss - right["ctc_loss"]) < 1e-9
    np.testing.assert_allclose(right["ctc_loss.dlogits"], ctc_loss_backward(1.0, cache), rtol=0, atol=1e-9)


def test_every_mistake_is_named_in_the_first_stage_that_departs(kit, right, with_mistakes):
    """In float64. Two mistakes that gave the same numbers could not be told apart."""
    for words, theirs in with_mistakes.items():
        report = check(kit, theirs)
        assert not report.passed, words
        assert report.mistakes == (words,), (words, report)
        assert report.next is None
        departs = [name for name in right if not np.array_equal(theirs[name], right[name])]
        assert report.first == departs[0], words


def test_mistakes_are_named_in_float32_too(kit, with_mistakes):
    named = []
    for words, stages in with_mistakes.items():
        report = check(kit, {name: value.astype(np.float32) for name, value in stages.items()})
        named += [words] * (report.mistakes == (words,))
    assert len(named) >= len(slips()) - 4, set(with_mistakes) - set(
        named
    )  # without 1e-7, 1e-12 for no eps and the like cannot be seen there


def test_of_two_mistakes_both_are_named(kit, with_mistakes):
    source = inspect.getsource(network)
    by_words = {slip.words: slip for slip in slips()}
    pair = ("tanh GELU", "CTC's blank is the last token")
    for words in pair:
        source = by_words[words].applied(source)
    report = check(kit, kit.stages(source))
    assert report.mistakes == pair
    assert report.first == "feature_extractor.conv_layers.0"


def test_an_unknown_mistake_is_placed_and_not_named(kit, right):
    theirs = dict(right)
    theirs["encoder.layers.0.attention"] = 1.01 * right["encoder.layers.0.attention"]
    report = check(kit, theirs)
    assert (report.first, report.mistakes) == ("encoder.layers.0.attention", ())
    assert "no known mistake gives its numbers" in report.sentence


def test_a_known_and_an_unknown_mistake(kit, with_mistakes):
    theirs = dict(with_mistakes["tanh GELU"])
    theirs["lm_head"] = theirs["lm_head"] + 0.5
    report = check(kit, theirs)
    assert (report.mistakes, report.next) == (("tanh GELU",), "lm_head")
    assert "With that, lm_head departs next" in str(report)


def test_stages_may_be_left_out_and_float32_is_compared_as_such(kit, right):
    some = {name: right[name].astype(np.float32) for name in ("waveform", "lm_head")}
    report = check(kit, some)
    assert report.passed
    assert report.sentence == "2 of 19 stages compared: none departs"
    assert [state for _, state, _ in report.rows].count("missing") == 17
    assert not check(kit, some, tolerance=1e-12).passed
    with pytest.raises(XlsrError, match="no stage of the kit is in it"):
        check(kit, {"logits": right["lm_head"]})


def test_plain_numbers_and_npz_and_npy_are_read(folder, kit, right, tmp_path):
    assert check(folder, folder / "binary").passed
    assert check(kit, folder / "stages.npz").passed
    np.save(tmp_path / "lm_head.npy", right["lm_head"])
    one_more = np.concatenate([right["encoder.pos_conv_embed"], np.ones((1, 24))])
    (tmp_path / "encoder.pos_conv_embed.f32").write_bytes(one_more.astype("<f4").tobytes())
    rows = {name: found for name, state, found in check(kit, tmp_path).rows if state == "departs"}
    T = len(right["lm_head"])
    assert rows == {"encoder.pos_conv_embed": f"has the shape ({T + 1}, 24), expected ({T}, 24)"}


def test_the_layout_is_as_the_readme_says(folder, right):
    listed = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
    assert (listed["byte_order"], listed["order"]) == ("little", "row-major")
    for stage in listed["stages"]:
        numbers = np.frombuffer((folder / stage["file"]).read_bytes(), "<f8").reshape(stage["shape"])
        np.testing.assert_array_equal(numbers, right[stage["name"]])
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert all(name in readme for name in right)
    samples = np.frombuffer((folder / "binary" / "samples.f32").read_bytes(), "<f4")
    np.testing.assert_array_equal(samples, np.load(folder / "inputs.npz")["samples"])


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
    again = write(tmp_path / "again")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [path for path in files if (folder / path).read_bytes() != (again / path).read_bytes()] == []


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["conformance", "write", "kit"]) == 0
    assert capsys.readouterr().out == "kit\n"
    assert main(["conformance", "check", "kit", "kit/binary"]) == 0
    capsys.readouterr()
    wrong = np.fromfile("kit/binary/log_probs.f64")
    wrong[3] += 1
    wrong.tofile("kit/binary/log_probs.f64")
    assert main(["conformance", "check", "kit", "kit/binary", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first"] == "log_probs"
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no")
    (tmp_path / "empty").mkdir()
    for words, status, line in (
        ("conformance write kit", 1, "kit is there already"),
        ("conformance check kit none.npz", 1, "none.npz: no arrays can be read from it (No such file"),
        ("conformance check kit bad.npz", 1, "bad.npz: no arrays can be read from it"),
        ("conformance check kit empty", 1, "empty: no stage of the kit is in it"),
        ("conformance check empty kit", 1, "stages.npz: no arrays can be read"),
        ("conformance check kit kit --tolerance 2", 2, "--tolerance 2"),
        ("conformance", 2, "COMMAND"),
    ):
        assert main(words.split()) == status
        err = capsys.readouterr().err
        assert line in err
        assert status == 2 or len(err.splitlines()) == 1
