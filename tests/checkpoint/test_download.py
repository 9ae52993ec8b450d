"""The command download, against the Hub of tests/loopback: what it writes, and every refusal in one line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, GOLDEN

from xlsr_ref.checkpoint.download import download
from xlsr_ref.checkpoint.hub import Named, NothingThere, named
from xlsr_ref.checkpoint.open import open_checkpoint
from xlsr_ref.checkpoint.verify import verify
from xlsr_ref.errors import HubError

RUN = """
import sys
from weights_tools.__main__ import main
sys.stderr = sys.stdout
print(main(['download', *sys.argv[1:]]))
"""
BY_XLSR_REF = RUN.replace("weights_tools.__main__", "xlsr_ref.cli").replace("['download'", "['weights', 'download'")
MODEL = GOLDEN / "xlsr"


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("text", "model"),
    [("a/b", ("a/b", None)), ("a/b@v1", ("a/b", "v1")), ("a", None), ("a/b/c", None), ("a/../b", None), ("a/b@", None)],
)
def test_names(text, model):
    assert named(text) == model


def test_safetensors_come_as_they_are(machine, served):
    served.files |= {"README.md": b"long", "pytorch_model.bin": b"a pickle", "vocab.json": b"{}"}
    said = machine.python(RUN, "owner/name")
    assert said.splitlines()[0].startswith("wrote name: a Wav2Vec2ForCTC, 88 tensors")
    wanted = ("config.json", "model.safetensors", "vocab.json")
    assert held(machine.home / "name") == {name: served.files[name] for name in wanted}
    assert sorted(served.of("GET")) == sorted(wanted)
    said = machine.python(BY_XLSR_REF, "owner/name@v1", "-o", "half", "--dtype", "float16", "--to", "fairseq")
    assert said.endswith("\n0")
    assert {tensor.dtype for tensor in open_checkpoint(machine.home / "half").weights.tensors.values()} == {"F16"}


def test_a_pickle_is_converted(machine, served):
    pickled = GOLDEN / "foreign" / "torch"
    served.files = held(pickled)
    said = machine.python(BY_XLSR_REF, f"owner/name@{COMMIT}", "-o", "out")
    assert said.endswith("\n0")
    names = sorted(path.name for path in (machine.home / "out").iterdir())
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith(".bin")]
    assert not verify(machine.home / "out", pickled).departures
    served.files["pytorch_model.bin"] = b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."
    machine.home = machine.home / "other"
    machine.home.mkdir()
    refused = machine.python(RUN, "owner/name", "-o", "out")
    assert "os.system" in refused
    assert len(refused.splitlines()) == 2
    assert {path.name for path in machine.home.iterdir()} == {"hub"}  # neither a folder nor a part of one


def test_one_language_of_many(machine, served):
    served.files = held(GOLDEN / "heads" / "languages")
    assert machine.python(RUN, "owner/name", "--language", "fra").endswith("\n0")
    assert [path.name for path in (machine.home / "name").glob("adapter.*")] == ["adapter.fra.safetensors"]
    assert machine.python(RUN, "owner/name", "-o", "bf", "--language", "eng", "--dtype", "bfloat16").endswith("\n0")
    assert [path.name for path in (machine.home / "bf").glob("adapter.*")] == ["adapter.eng.safetensors"]


def test_what_cannot_be_had_is_one_line(machine, served):
    """A cold cache offline, no answer or another, a gated model, a broken download; then a warm cache offline."""

    def refused(*arguments: str, **environment: str) -> str:
        line, status = machine.python(RUN, *arguments, **environment).splitlines()
        assert status == "1"
        assert {path.name for path in machine.home.iterdir()} <= {"hub", "xet"}
        return line.partition(": ")[2]

    assert refused("owner/name", HF_HUB_OFFLINE="1").endswith("in the cache either: HF_HUB_OFFLINE forbids to fetch it")
    nowhere = refused("owner/name", HF_ENDPOINT="http://127.0.0.1:9")
    assert nowhere.startswith("owner/name: http://127.0.0.1:9 does not answer: ")
    assert nowhere.endswith("; check the network")
    served.broken = 403
    assert refused("owner/name").startswith(f"owner/name: {served.url} answers: ")
    served.broken = 0
    served.token, served.gated = "hf_secret", True
    assert refused("owner/name").startswith("owner/name is gated: accept its conditions")
    served.token = None
    served.cut["model.safetensors"] = [1000] + [0] * 20
    assert "lacks model.safetensors so far: " in refused("owner/name")
    served.cut.clear()
    assert machine.python(RUN, "owner/name").endswith("\n0")
    assert machine.python(RUN, "owner/name", "-o", "warm", HF_HUB_OFFLINE="1").endswith("\n0")
    assert held(machine.home / "warm") == held(machine.home / "name")


def test_where_nothing_can_be_written(tmp_path, monkeypatch, refused):
    """Said before anything is fetched."""
    monkeypatch.setattr("xlsr_ref.checkpoint.hub.fetch", lambda *_: pytest.fail("it was fetched"))
    model = Named("owner/name", None)
    (tmp_path / "file").touch()
    assert "there is no folder" in refused(download, model, tmp_path / "file" / "x")
    assert "there is no folder" in refused(download, model, tmp_path / "none" / "x")
    assert "is there already" in refused(download, model, tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert refused(download, model, tmp_path / "x").endswith(f"cannot be made: {tmp_path} may not be written to")


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(NothingThere) as raised:
        download(Named("owner/name", "v1"), tmp_path / "x")
    needs = "the Hugging Face Hub needs a library that is missing here: pip install 'xlsr_ref[hub]'"
    assert str(raised.value) == f"owner/name@v1: {needs}"
    assert isinstance(raised.value, HubError)


def test_shards_keep_their_index(tmp_path, monkeypatch):
    """The files of the cache, made here."""
    from safetensors.numpy import load_file, save_file

    cache, flat = tmp_path / "cache", load_file(MODEL / "model.safetensors")
    cache.mkdir()
    (cache / "config.json").write_bytes((MODEL / "config.json").read_bytes())
    homes = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(flat)}
    for file in set(homes.values()):
        save_file({name: flat[name] for name in flat if homes[name] == file}, cache / file)
    (cache / "model.safetensors.index.json").write_text(json.dumps({"weight_map": homes}))
    monkeypatch.setattr("xlsr_ref.checkpoint.hub.fetch", lambda *_: cache)
    download(Named("owner/name", None), tmp_path / "whole")
    assert held(tmp_path / "whole") == held(cache)
    download(Named("owner/name", None), tmp_path / "one", dtype="float32")
    assert sorted(held(tmp_path / "one")) == ["config.json", "model.safetensors"]
