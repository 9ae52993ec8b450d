"""The JSON schemas of docs/schemas: what commands write is what they say, and a schema refuses what is not."""

import copy
import json
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.cli import main

jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra [notebooks]")

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
CLIPS = Path(xlsr_ref.__file__).parent / "data" / "clips" / "it"
ONE, OTHER = str(CLIPS / "digits__3.ogg"), str(CLIPS / "digits__2.ogg")


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def schema(name):
    found = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def written(capsys, *argv, status=0):
    """What a command writes to the standard output, as JSON."""
    assert main(list(argv)) == status
    return json.loads(capsys.readouterr().out)


def test_a_transcript(capsys):
    found = written(capsys, "transcribe", ONE, "--format", "json")
    schema("transcript").validate(found)
    assert found["words"]
    assert not schema("transcript").is_valid(found | {"more": 1})
    worse = copy.deepcopy(found)
    worse["words"][0]["score"] = 2
    assert not schema("transcript").is_valid(worse)


def test_an_alignment_that_is_checked(capsys):
    found = written(capsys, "align", ONE, "tre", "--format", "json", "--check")
    schema("transcript").validate(found)
    assert "said" in found["words"][0]


def test_transcripts(capsys):
    found = written(capsys, "transcribe", ONE, OTHER, "--format", "json")
    schema("transcripts").validate(found)
    assert len(found) == 2
    assert not schema("transcripts").is_valid(found[0])


def test_a_line_of_results(capsys, tmp_path):
    assert main(["transcribe", ONE, OTHER, "--results", "results.jsonl"]) == 0
    lines = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    for line in lines:
        schema("results_line").validate(json.loads(line))


def test_the_exercises_and_their_verdicts(capsys, tmp_path):
    found = written(capsys, "grade", "--list", "--json")
    schema("exercises").validate(found)
    assert len(found) >= 48
    (tmp_path / "mine.py").write_text("def frames(samples, conv_kernel, conv_stride):\n    return 1\n")
    verdicts = written(capsys, "grade", "mine.py", "--json", "--seed", "0", status=1)
    schema("grade").validate(verdicts)
    assert not schema("grade").is_valid(verdicts | {"score": 2})


def test_measurements(tmp_path):
    assert main(["bench", "--seconds", "1", "--rounds", "1", "--json", "b.json", "--quiet"]) == 0
    found = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    schema("bench").validate(found)
    del found["workloads"][0]["stages"]["head"]["flops"]
    assert not schema("bench").is_valid(found)


def test_every_schema_is_tested_and_has_a_title():
    names = {path.stem for path in SCHEMAS.glob("*.json")}
    assert names == {"transcript", "transcripts", "results_line", "exercises", "grade", "bench"}
    for name in names:
        assert schema(name).schema["title"]
