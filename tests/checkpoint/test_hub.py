"""Models by name: what is taken for one, and that `load` gets them from the Hub of tests/loopback/hub_server.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, FETCH, GOLDEN

import xlsr_ref
from xlsr_ref.checkpoint import hub
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.errors import HubError

# --- what is a name --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["model", "./owner/name", "../owner/name", "/owner/name", "a/b/c", "owner/", "~/name", "owner name/x", "own/na me",
     "owner\\name", "C:/x", "", ".", "..", "a/..", "@main", "owner/name@", "owner/näme"],
)  # fmt: skip
def test_what_can_only_be_a_folder(source, monkeypatch):
    monkeypatch.setattr(hub, "fetch", lambda *_: pytest.fail("it was looked for on the Hub"))
    assert hub.local_folder(source) == Path(source)


@pytest.mark.parametrize(
    ("source", "model"),
    [("facebook/wav2vec2-large-xlsr-53", ("facebook/wav2vec2-large-xlsr-53", None)), ("a/b@main", ("a/b", "main")),
     ("a/b@refs/pr/1", ("a/b", "refs/pr/1")), ("a.b_c-1/d.e_f-2@v1.0", ("a.b_c-1/d.e_f-2", "v1.0"))],
)  # fmt: skip
def test_what_is_a_name(source, model, monkeypatch):
    monkeypatch.setattr(hub, "fetch", lambda model, language: (tuple(model), language))
    assert hub.local_folder(source) == (model, None)
    assert hub.local_folder(source, "fra") == (model, "fra")
    assert hub.local_folder(Path(source)) == Path(source)  # a Path is one


def test_a_folder_that_is_there_always_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch", lambda *_: pytest.fail("it was looked for on the Hub"))
    for name in ("owner/name", "owner/name@main"):
        Path(name).mkdir(parents=True)
        assert hub.local_folder(name) == Path(name)
    Path("owner/file").touch()
    assert hub.local_folder("owner/file") == Path("owner/file")
    Path("owner/dangling").symlink_to("nothing")
    assert hub.local_folder("owner/dangling") == Path("owner/dangling")


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError) as refused:
        xlsr_ref.load("owner/name")
    needs = "the Hugging Face Hub needs a library that is missing here: pip install 'xlsr_ref[hub]'"
    assert str(refused.value) == f"owner/name is no folder here, and {needs}"


# --- fetching --------------------------------------------------------------------------------------------------------


def test_only_what_is_needed_and_only_once(machine, served):
    served.files |= {"README.md": b"long", "pytorch_model.bin": b"a pickle", "vocab.json": b"{}"}
    folder = Path(machine.fetch("owner/name"))
    assert folder == machine.home / "hub" / "models--owner--name" / "snapshots" / COMMIT
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "vocab.json"]
    assert (folder / "model.safetensors").read_bytes() == served.files["model.safetensors"]
    assert sorted(served.of("GET")) == ["config.json", "model.safetensors", "vocab.json"]
    served.asked.clear()
    assert machine.fetch("owner/name") == str(folder)
    assert served.asked == ["HEAD config.json"]  # has the branch moved? what is known of a commit holds
    served.asked.clear()
    assert machine.fetch(f"owner/name@{COMMIT}") == str(folder)
    assert served.asked == []


def test_it_says_what_the_folder_says(machine, served):
    """Through `load` and the command line, with the numbers of the same model in a folder."""
    script = (
        "import sys, numpy as np, xlsr_ref; from xlsr_ref.cli import main\n"
        "m = xlsr_ref.load('owner/name@v1')\n"
        "same = xlsr_ref.load(sys.argv[1]); x = np.sin(np.arange(4000))\n"
        "print((m.logits(x, 16000) == same.logits(x, 16000)).all(), main(['inspect', 'owner/name']))"
    )
    said = machine.python(script, str(GOLDEN / "xlsr"))
    assert said.splitlines()[-1] == "True 0"
    assert "Wav2Vec2ForCTC, prefix 'wav2vec2.'" in said


def test_shards(machine, served):
    flat = dict(read_arrays(GOLDEN / "xlsr" / "model.safetensors"))
    names, parts = list(flat), {}
    for i in range(2):
        file = f"model-0000{i + 1}-of-00002.safetensors"
        parts[file] = names[i::2]
        write_arrays(machine.home / file, {name: flat[name] for name in parts[file]})
        served.files[file] = (machine.home / file).read_bytes()
    weight_map = {name: file for file, held in parts.items() for name in held}
    del served.files["model.safetensors"]
    served.files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    folder = Path(machine.fetch("owner/name"))
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors.index.json", *parts}
    assert len(xlsr_ref.load(folder).report.files) == 2
    (served.files, file) = {**served.files}, next(iter(parts))
    del served.files[file]
    machine.home = machine.home / "other"
    machine.home.mkdir()
    assert f"HubError owner/name has no {file}, which its model.safetensors.index.json lists" in machine.fetch(
        "owner/name"
    )


def test_pickles_only_where_there_is_nothing_better(machine, served):
    served.files["pytorch_model.bin"] = b"a pickle"
    del served.files["model.safetensors"]
    folder = Path(machine.fetch("owner/name"))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "pytorch_model.bin"]


def test_a_language_brings_its_adapter_only(machine, served):
    served.files = {path.name: path.read_bytes() for path in (GOLDEN / "heads" / "languages").iterdir()}
    folder = Path(machine.fetch("owner/name", "fra"))
    assert [path.name for path in folder.glob("adapter.*")] == ["adapter.fra.safetensors"]
    assert xlsr_ref.load(folder, language="fra").report.language == "fra"
    served.asked.clear()
    said = machine.fetch("owner/name", "fre")
    assert said == (
        "HubError owner/name has no adapter.fre.safetensors; of its 2 languages the nearest to 'fre' are fra, eng"
    )
    assert served.of("GET") == []  # known before any weights have come
    assert "../fra is no code of a language" in machine.fetch("owner/name", "../fra")


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_an_interrupted_download_goes_on_where_it_broke_off(machine, served):
    served.cut["model.safetensors"] = [1000, 500]
    in_small_pieces = "from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 100\n"  # not 10 MB
    for _ in range(3):  # new versions of the library go on by themselves, old ones the next time
        said = machine.python(in_small_pieces + FETCH, "owner/name")
        if not said.startswith("HubError"):
            break
    folder = Path(said)
    assert (folder / "model.safetensors").read_bytes() == served.files["model.safetensors"]
    lines = [line for line in served.asked if line.startswith("GET model.safetensors")]
    assert [line.partition(" from ")[2] for line in lines] == ["", "1000", "1500"]


def test_a_download_that_never_ends_well_is_reported_and_made_good_later(machine, served):
    served.cut["model.safetensors"] = [1000] + [0] * 20
    said = machine.fetch("owner/name")
    assert said.startswith("HubError owner/name@")
    assert " lacks model.safetensors so far: " in said
    assert said.endswith("files that came whole are kept, so try again")
    assert len(said.splitlines()) == 1
    served.cut.clear()
    folder = Path(machine.fetch("owner/name"))
    assert (folder / "model.safetensors").read_bytes() == served.files["model.safetensors"]
    assert served.of("GET").count("config.json") == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "owner/other",
            "owner/other is no folder here, and the Hub has no such model that you may read: check the name",
        ),
        ("owner/name@v2", "owner/name has no revision v2: give a branch, a tag or a commit of it"),
        ("owner/a--b", "owner/a--b is no folder here, and no name of a model: "),
    ],
)
def test_what_the_hub_does_not_have(machine, name, says):
    said = machine.fetch(name)
    assert said.startswith(f"HubError {says}")
    assert len(said.splitlines()) == 1


def test_another_network_is_refused_before_its_weights_come(machine, served):
    served.files["config.json"] = b'{"model_type": "wavlm"}'
    said = machine.fetch("owner/name")
    assert said == "HubError owner/name is another network: its config.json says model_type wavlm"
    assert served.of("GET") == ["config.json"]


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_what_is_no_model(machine, served, lacking):
    del served.files[lacking]
    said = machine.fetch("owner/name")
    expected = {
        "config.json": "has no config.json, so it is no model that transformers could open",
        "model.safetensors": "has none of model.safetensors, model.safetensors.index.json, pytorch_model.bin",
    }[lacking]
    assert said.startswith(f"HubError owner/name {expected}")


def test_a_private_model_needs_its_token(machine, served):
    served.token = "hf_secret"
    for environment in ({}, {"HF_TOKEN": "hf_another"}):
        said = machine.fetch("owner/name", **environment)
        assert said.startswith("HubError owner/name is no folder here, and the Hub has no such model that you may read")
        assert said.endswith("a private one needs a token (HF_TOKEN, or hf auth login)")
        assert "secret" not in said
        assert "another" not in said
    assert machine.fetch("owner/name", HF_TOKEN="hf_secret").endswith(COMMIT)


def test_a_gated_model(machine, served):
    served.token, served.gated = "hf_secret", True
    said = machine.fetch("owner/name")
    assert said.startswith("HubError owner/name is gated: accept its conditions on its page, and give a token")


def test_offline_with_a_warm_and_with_a_cold_cache(machine, served):
    cold = machine.fetch("owner/name", HF_HUB_OFFLINE="1")
    where = "owner/name is no folder here, and config.json is not in the cache either"
    assert cold == f"HubError {where}: HF_HUB_OFFLINE forbids to fetch it"
    folder = machine.fetch("owner/name")
    served.asked.clear()
    assert machine.fetch("owner/name", HF_HUB_OFFLINE="1") == folder
    assert served.asked == []
    (Path(folder) / "model.safetensors").unlink()
    assert machine.fetch("owner/name", HF_HUB_OFFLINE="1").endswith(
        "flax_model.msgpack in the cache, and HF_HUB_OFFLINE forbids to fetch it"
    )


def test_a_hub_that_does_not_answer(machine, served):
    """With what is in the cache it goes on; without, the line names the address."""
    folder = machine.fetch("owner/name")
    nowhere = "http://127.0.0.1:9"  # the port of the discard service, where nobody listens
    assert machine.fetch("owner/name", HF_ENDPOINT=nowhere) == folder
    said = machine.fetch("owner/else", HF_ENDPOINT=nowhere)
    assert said.startswith(f"HubError owner/else is no folder here, and {nowhere} does not answer: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("command", ["transcribe", "inspect"])
def test_on_the_command_line_it_is_one_line(machine, command):
    script = (
        "import sys; from xlsr_ref.cli import main\n"
        f"argv = ['{command}', 'owner/name'] if '{command}' == 'inspect' else ['{command}', '--model', 'owner/name']\n"
        "sys.stderr = sys.stdout; print(main(argv))"
    )
    said = machine.python(script, HF_HUB_OFFLINE="1").splitlines()
    assert len(said) == 2
    assert said[0].startswith("xlsr-ref: owner/name is no folder here, and config.json is not in the cache")
    assert said[1] == "1"
