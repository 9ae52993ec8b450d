"""fairseq's settings and dictionaries, from records and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlsr_ref.checkpoint import fairseq
from xlsr_ref.checkpoint.open import find_dictionary, open_checkpoint, open_weights
from xlsr_ref.checkpoint.unpickle import Global, Record

FOREIGN = Path(__file__).parents[1] / "golden" / "foreign"


@pytest.mark.parametrize(
    ("text", "layers"),
    [("[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
      [(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2),
     ("[(1, 2, 3)]", [(1, 2, 3)]), ("2 * [(1, 2, 3)]", [(1, 2, 3)] * 2), ([[1, 2, 3]], [(1, 2, 3)]),
     (" [(1,2,3), (4,5,6)] ", [(1, 2, 3), (4, 5, 6)])],
)  # fmt: skip
def test_the_convolutions_are_read_as_arithmetic_of_lists(text, layers):
    assert fairseq.conv_layers(text) == layers


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('touch x')", "[(1,2,3)] * 10**9", "[(1,2,3)] * 999", "[(1, 2)]", "[]", "", "(1,2,3)",
     "[(1, 2, -3)]", "[(1, 2, 0)]", "[1, 2, 3]", "[[[(1,2,3)]]]", "[(1,2,3)] + 4", "(" * 900, "[(1,2,3)] @ 2", 7, None,
     "[x for x in y]", "[(1,2,3.0)]", "[(1,2,True)]", "9" * 5000, "[('a', 2, 3)]", {"a": 1}],
    ids=lambda text: str(text)[:30],
)  # fmt: skip
def test_anything_else_is_refused(text, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(fairseq.conv_layers, text)
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_fine_tuned_model():
    """What omegaconf 2.3 and 2.0 and argparse pickled, is found again."""
    for name, heads, norm in (("fairseq_ctc", 4, "layer"), ("fairseq_ctc_old", 2, "group")):
        weights = open_weights(FOREIGN / name)
        settings = fairseq.settings_of(weights.beside)
        config = fairseq.config_of(settings)
        assert (config["num_attention_heads"], config["feat_extract_norm"]) == (heads, norm)
        assert config["conv_stride"] == [5, 2, 2, 2, 2, 2, 2]
        assert (config["layerdrop"], config["mask_time_prob"]) == (0.05, 0.65)  # of the fine-tuning
        assert fairseq.normalize_of(settings) is (name == "fairseq_ctc")
        assert settings["model"]["normalize"] is (name == "fairseq_ctc")  # it was "${task.normalize}"
        assert fairseq.dictionary_in(weights.beside)[:5] == ["<s>", "<pad>", "</s>", "<unk>", "|"]


def test_settings_of_a_pretrained_model():
    config = open_checkpoint(FOREIGN / "fairseq_pretrained").config
    assert config["architectures"] == ["Wav2Vec2ForPreTraining"]
    assert config["conv_stride"] == [6, 5, 4]
    assert (config["num_codevector_groups"], config["num_codevectors_per_group"], config["codevector_dim"]) == (2, 3, 8)
    assert (config["num_negatives"], config["proj_codevector_dim"]) == (20, 5)


def test_networks_that_are_another_are_refused(refused):
    for setting in ({"target_glu": True}, {"layer_type": "conformer"}, {"pos_conv_depth": 5}, {"extractor_mode": "x"}):
        refused(fairseq.config_of, {"model": {"encoder_layers": 2} | setting})
    assert fairseq.config_of({"model": {"target_glu": False, "encoder_layers": 2}}) == {"num_hidden_layers": 2}
    assert fairseq.config_of({}) == {}


def test_records_in_circles_end(refused):
    circle: dict = {}
    circle["a"] = circle
    refused(fairseq.plain, circle)
    twice: list = []
    for _ in range(60):
        twice = [twice, twice]  # 2**60 when walked through
    refused(fairseq.plain, twice)
    wide: list = [0] * 1000
    for _ in range(3):
        wide = [wide] * 1000
    refused(fairseq.plain, wide)
    node = Record(Global("omegaconf.nodes", "AnyNode"), (), {"_val": None})
    node.state["_val"] = node
    refused(fairseq.plain, node)
    assert fairseq.settings_of({"cfg": 3, "args": [1]}) == {}
    loop = {"model": {"a": "${model.b}", "b": "${model.a}"}}
    assert fairseq.settings_of({"cfg": loop})["model"] == {"a": None, "b": None}


# --- dictionaries ----------------------------------------------------------------------------------------------------


def dictionary(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "dict.ltr.txt"
    path.write_text(content, encoding="utf-8")
    return path


def test_a_dictionary_becomes_a_vocabulary_with_pad_as_the_blank(tmp_path):
    symbols = fairseq.read_dictionary(dictionary(tmp_path, "| 94802\nE 51860\nß 7\n▁a b 3\n"))
    assert symbols == ["<s>", "<pad>", "</s>", "<unk>", "|", "E", "ß", "▁a b"]
    vocabulary = fairseq.vocabulary_of(symbols)
    assert vocabulary == {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5, "ß": 6, "▁a b": 7}
    files = fairseq.vocabulary_files(symbols)
    assert files["special_tokens_map.json"]["pad_token"] == "<pad>"
    again = fairseq.read_dictionary(dictionary(tmp_path, "a 1\n<s> 2 #fairseq:overwrite\nb 3\n\n"))
    assert again == [*fairseq.SPECIAL, "a", "b"]


@pytest.mark.parametrize("content", ["a\n", "a b\n", "a 1\na 2\n", " 1\n", "a 1.5\n", "<s> 3\n", "a 1\nb"])
def test_a_dictionary_that_is_none(tmp_path, refused, content):
    assert "line" in refused(fairseq.read_dictionary, dictionary(tmp_path, content))


def test_a_dictionary_that_does_not_fit(tmp_path, refused):
    source = FOREIGN / "fairseq_ctc" / "checkpoint.pt"
    assert "differ" in refused(open_checkpoint, source, None, dictionary(tmp_path, "| 1\nE 1\n"))
    refused(fairseq.vocabulary_of, ["a", "b", "c", "d"])
    refused(fairseq.read_dictionary, tmp_path)
    refused(fairseq.read_dictionary, tmp_path / "nowhere")
    refused(open_checkpoint, FOREIGN / "torch", None, dictionary(tmp_path, "a 1\n"))


def test_which_dictionary(tmp_path, refused):
    assert find_dictionary(tmp_path, None) is None
    (tmp_path / "dict.phn.txt").touch()
    assert find_dictionary(tmp_path, None) == tmp_path / "dict.phn.txt"
    (tmp_path / "dict.wrd.txt").touch()
    assert "several dictionaries" in refused(find_dictionary, tmp_path, None)
    (tmp_path / "dict.ltr.txt").touch()
    assert find_dictionary(tmp_path, None) == tmp_path / "dict.ltr.txt"
    assert find_dictionary(tmp_path, "other") == Path("other")
