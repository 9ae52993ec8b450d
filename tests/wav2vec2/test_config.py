"""The config: the fields of config.json, and a clear refusal of everything else."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr_ref import untrusted
from xlsr_ref.errors import ConfigError
from xlsr_ref.untrusted import parse_json
from xlsr_ref.wav2vec2.config import Config

CASES = max(300, int(os.environ.get("XLSR_REF_FUZZ", "300")))  # mutated files; a long run: XLSR_REF_FUZZ=5000
XLSR_53 = {
    "model_type": "wav2vec2",
    "architectures": ["Wav2Vec2ForPreTraining"],
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_feat_extract_layers": 7,
    "do_stable_layer_norm": True,
    "gradient_checkpointing": True,
    "codevector_dim": 768,
    "proj_codevector_dim": 768,
    "transformers_version": "4.4.0.dev0",
}


def refusal(values) -> str:
    """The message with which Config.from_dict refuses; it must be one line."""
    with pytest.raises(ConfigError) as refused:
        Config.from_dict(values)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def folder_with(tmp_path: Path, text: bytes) -> Path:
    (tmp_path / "config.json").write_bytes(text)
    return tmp_path


def folder_refusal(folder: Path | str) -> str:
    with pytest.raises(ConfigError) as refused:
        Config.from_folder(folder)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
    return str(refused.value)


def test_reads_a_released_config():
    config = Config.from_dict(XLSR_53)
    assert config.architectures == ("Wav2Vec2ForPreTraining",)
    assert (config.hop, config.receptive_field, config.head_dim) == (320, 400, 64)
    assert config.conv_dim == (512,) * 7
    assert config.do_stable_layer_norm is True
    assert config.vocab_size == 32  # left out: the default


def test_file_and_dict_agree(tmp_path):
    folder = folder_with(tmp_path, json.dumps(XLSR_53).encode())
    assert Config.from_folder(folder) == Config.from_folder(str(folder)) == Config.from_dict(XLSR_53)


def test_the_default_is_the_base_model():
    config = Config.from_dict({})
    assert config == Config()
    assert (config.hop, config.receptive_field, config.head_dim) == (320, 400, 64)
    assert (config.feat_extract_norm, config.do_stable_layer_norm, config.conv_bias) == ("group", False, False)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().hidden_size = 3  # type: ignore[misc]


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), min_size=1, max_size=4))
def test_hop_and_field_are_what_the_convolutions_make_them(layers):
    kernels, strides = zip(*layers)
    config = Config(conv_dim=(8,) * len(layers), conv_kernel=kernels, conv_stride=strides)

    def frames(samples: int) -> int:
        for kernel, stride in layers:
            samples = (samples - kernel) // stride + 1 if samples >= kernel else 0
        return samples

    shortest_with = {1: config.receptive_field, 2: config.receptive_field + config.hop}
    for count, samples in shortest_with.items():
        assert frames(samples) == count
        assert frames(samples - 1) == count - 1


def test_old_files_load():
    values = XLSR_53 | {"num_feat_extract_layers": 7, "ctc_blank": "nonsense that nothing reads", "architectures": None}
    del values["model_type"]
    assert Config.from_dict(values) == dataclasses.replace(Config.from_dict(XLSR_53), architectures=())
    assert Config.from_dict({"vocab_size": None, "pad_token_id": None}).vocab_size is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "hubert"}, "model_type must be 'wav2vec2', found 'hubert'"),
        ({"model_type": "wav2vec2-bert"}, "found 'wav2vec2-bert'"),
        ({"model_type": ["wav2vec2"]}, "model_type"),
        ({"architectures": ["HubertForCTC"]}, "architectures: 'HubertForCTC' is not implemented"),
        ({"architectures": ["Wav2Vec2ForCTC", "Wav2Vec2Model"]}, "architectures must name one model"),
        ({"architectures": "Wav2Vec2ForCTC"}, "architectures must be null or a list of names"),
        ({"architectures": [3]}, "architectures must be null or a list of names"),
        ({"adapter_attn_dim": 16, "do_stable_layer_norm": False}, "adapter_attn_dim is 16, but do_stable_layer_norm"),
        ({"adapter_attn_dim": 0}, "adapter_attn_dim must be null or a whole number from 1"),
        (
            {"add_adapter": True, "architectures": ["Wav2Vec2ForSequenceClassification"]},
            "add_adapter is true, but a Wav2Vec2ForSequenceClassification has no convolutional adapter",
        ),
        ({"add_adapter": True, "architectures": ["Wav2Vec2ForAudioFrameClassification"]}, "has no convolutional adap"),
        (
            {"add_adapter": True, "output_hidden_size": 9, "architectures": ["Wav2Vec2ForXVector"]},
            "output_hidden_size is 9, but the head of a Wav2Vec2ForXVector takes hidden_size=1024",
        ),
        ({"add_adapter": True, "adapter_stride": 2**9}, "conv_stride and adapter_stride: the strides multiply to mor"),
        ({"tdnn_kernel": [5, 3]}, "tdnn_dim, tdnn_kernel and tdnn_dilation must be equally long, found 5, 2 and 5"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label must be null or an object that gives each id"),
        ({"id2label": {"0": "a", "1": "a"}}, "id2label must be"),
        ({"id2label": {"0": "a", "00": "b"}}, "id2label must be"),
        ({"id2label": {"0": 3}}, "id2label must be"),
        ({"id2label": {"zero": "a"}}, "id2label must be"),
        ({"id2label": ["a"]}, "id2label must be"),
        ({"problem_type": "guess"}, 'problem_type must be null or "regression" or'),
        ({"hidden_act": "relu"}, "hidden_act must be \"gelu\", found 'relu'"),
        ({"hidden_act": "gelu_new"}, "hidden_act"),
        ({"feat_extract_activation": "selu"}, "feat_extract_activation"),
        ({"feat_extract_norm": "batch"}, 'feat_extract_norm must be "group" or "layer"'),
        ({"conv_dim": [512] * 6}, "conv_dim, conv_stride and conv_kernel must be equally long, found 6, 7 and 7"),
        ({"conv_stride": [5]}, "found 7, 1 and 7"),
        ({"conv_dim": [], "conv_stride": [], "conv_kernel": []}, "conv_dim must be a list of 1 to"),
        ({"conv_dim": [512] * 6 + [0]}, "conv_dim"),
        ({"conv_dim": [512] * 6 + [True]}, "conv_dim"),
        ({"conv_stride": [2**10] * 7}, "conv_stride: the strides multiply to more"),
        ({"num_feat_extract_layers": 6}, "num_feat_extract_layers is 6, but conv_dim has 7 entries"),
        ({"num_attention_heads": 15}, "num_attention_heads=15 does not divide hidden_size=1024"),
        ({"num_conv_pos_embedding_groups": 3}, "num_conv_pos_embedding_groups=3 does not divide hidden_size=1024"),
        ({"hidden_size": 1024.0}, "hidden_size must be a whole number from 1 to 1048576, found 1024.0"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers must be a whole number from 1 to 1000"),
        ({"pad_token_id": -1}, "pad_token_id must be null or a whole number from 0"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be a number above 0, at most"),
        ({"layer_norm_eps": 10**400}, "layer_norm_eps must be a number above 0"),
        ({"hidden_dropout": 1.5}, "hidden_dropout must be a number from 0 to 1"),
        ({"mask_time_prob": float("inf")}, "mask_time_prob must be a number from 0 to"),
        ({"hidden_size": int("9" * 4000)}, "hidden_size"),
    ],
)
def test_refused_by_name(changes, said):
    assert said in refusal(XLSR_53 | changes)


def test_labels_are_in_the_order_of_their_ids():
    assert Config.from_dict({"id2label": {str(i): f"l{i}" for i in (10, 2, *range(2), *range(3, 10))}}).labels == tuple(
        f"l{i}" for i in range(11)
    )
    assert Config().labels == ("LABEL_0", "LABEL_1")  # what transformers takes for granted
    assert Config.from_dict({"num_labels": 3}).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert Config.from_dict({"num_labels": 3, "id2label": {"0": "yes"}}).labels == ("yes",)


def test_what_an_adapter_leaves():
    config = Config.from_dict(XLSR_53 | {"add_adapter": True, "output_hidden_size": 512})
    assert (config.hop, config.output_hop, config.output_size) == (320, 320 * 2**3, 512)
    without = Config.from_dict(XLSR_53 | {"output_hidden_size": 512})  # which only an adapter would look at
    assert (without.output_hop, without.output_size) == (320, 1024)
    summed = {"add_adapter": True, "output_hidden_size": 9, "architectures": ["Wav2Vec2ForXVector"]}
    assert Config.from_dict(XLSR_53 | summed | {"use_weighted_layer_sum": True}).output_size == 9


@pytest.mark.parametrize("values", [[], None, "wav2vec2", 3])
def test_a_config_is_an_object(values):
    assert "must be a JSON object" in refusal(values)


@pytest.mark.parametrize("value", ["12", True, 1.5, -1, 2**40, float("nan"), {}, [None], [[1]], [-1], None])
def test_every_field_checks_its_type_and_range(value):
    for field in dataclasses.fields(Config):
        accepts = field.metadata["accepts"]
        if "null" in accepts and value is None:
            read = getattr(Config.from_dict({field.name: None}), field.name)
            assert read == (() if field.name == "architectures" else None)
        elif value is True and accepts == "true or false":
            assert getattr(Config.from_dict({field.name: value}), field.name) is True
        elif value == 1.5 and accepts in ("a number above 0, at most 1048576", "a number from 0 to 1048576"):
            assert getattr(Config.from_dict({field.name: value}), field.name) == value
        else:
            assert field.name in refusal({field.name: value})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"hidden_size": 768', "not valid JSON"),
        (b'{"hidden_size": 768,}', "not valid JSON"),
        (b'{"hidden_size": 768, "hidden_size": 1024}', "'hidden_size' stands twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
        (b'{"layer_norm_eps": NaN}', "NaN is not JSON"),
        (b'{"layer_norm_eps": -Infinity}', "-Infinity is not JSON"),
        (b'{"layer_norm_eps": 1e999}', "not valid JSON: the number '1e999' is too large"),
        (b'{"hidden_size": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"hidden_size": ' + b"9" * 300 + b"}", "hidden_size must be a whole number"),
        (b'{"x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' + b'{"x":' * 100_000, "nested too deeply"),
        (b'{"hidden_act": "gel\xfc"}', "not UTF-8"),
        (b'{"architectures": ["\\ud800"]}', "not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"[]", "must hold a JSON object, found []"),
        (b"null", "must hold a JSON object"),
        (b'"config"', "must hold a JSON object"),
        (b"{} {}", "not valid JSON"),
        (b'{"hidden_act": "a\nb"}', "not valid JSON"),
        (b'{"hidden_act": "a\\nb"}', "hidden_act must be"),
        (b'{"hidden_act": "' + b"a" * 100_000 + b'"}', "hidden_act must be"),
    ],
)
def test_broken_json_is_one_line(tmp_path, text, said):
    message = folder_refusal(folder_with(tmp_path, text))
    assert said in message
    assert message.startswith(str(tmp_path / "config.json"))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert Config.from_folder(folder_with(tmp_path, b"\xef\xbb\xbf{}")) == Config()


def test_a_minus_zero_is_no_whole_number():
    assert repr(parse_json(b'{"a": -0, "b": 0, "c": -1}', "it", ConfigError)) == "{'a': -0.0, 'b': 0, 'c': -1}"


def test_folders_that_hold_no_config(tmp_path):
    assert "not there" in folder_refusal(tmp_path / "nowhere")
    assert "not there" in folder_refusal("no\0where")
    assert "config.json is missing" in folder_refusal(tmp_path)
    (tmp_path / "file").write_text("{}")
    assert "a file, not a model folder" in folder_refusal(tmp_path / "file")
    (tmp_path / "config.json").mkdir()
    assert "not a regular file" in folder_refusal(tmp_path)


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    folder = folder_with(tmp_path, b"{" + b" " * 200 + b"}")
    assert Config.from_folder(folder) == Config()
    monkeypatch.setattr(untrusted, "LONGEST_JSON", 201)
    assert "more than any such file needs" in folder_refusal(folder)


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(untrusted.os, "open", denied)
    assert folder_refusal(folder_with(tmp_path, b"{}")).endswith("cannot be read: Permission denied")


def test_the_root_of_a_repository_in_the_hubs_cache(tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    assert folder_refusal(tmp_path / "models--a--b").endswith(f"is a repository in the Hub's cache: give {snapshot}")
    (tmp_path / "models--a--b" / "config.json").write_text("{}")
    assert Config.from_folder(tmp_path / "models--a--b") == Config()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this file system")
def test_links_and_pipes(tmp_path):
    for name in ("there", "dangling", "round", "pipe"):
        (tmp_path / name).mkdir()
    (tmp_path / "blob").write_text("{}")
    (tmp_path / "there/config.json").symlink_to(tmp_path / "blob")  # as the Hugging Face cache lays it out
    assert Config.from_folder(tmp_path / "there") == Config()
    (tmp_path / "dangling/config.json").symlink_to(tmp_path / "nothing")
    assert "missing" in folder_refusal(tmp_path / "dangling")
    (tmp_path / "round/config.json").symlink_to(tmp_path / "round/config.json")
    assert "symbolic links" in folder_refusal(tmp_path / "round")
    os.mkfifo(tmp_path / "pipe/config.json")  # opening it would wait for ever
    assert "not a regular file" in folder_refusal(tmp_path / "pipe")


def test_mutated_configs_load_or_are_refused_in_one_line(tmp_path):
    original = json.dumps(XLSR_53, indent=2).encode()
    tokens = [b"null", b"NaN", b"-1", b"1e400", b"[]", b"{", b'"', b"\\ud800", b"\xff", b"9" * 400, b"true", b"\n"]
    loads, messages = 0, []
    for case in range(CASES):
        draw = random.Random(case)
        text = bytearray(original)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(text))
            kind = draw.randrange(4)
            if kind == 0:
                text[at] = draw.randrange(256)
            elif kind == 1:
                text[at : at + draw.randint(1, 40)] = b""
            elif kind == 2:
                text[at:at] = draw.choice(tokens)
            else:
                start = draw.randrange(len(text))
                text[at:at] = text[start : start + draw.randint(1, 80)]
            text = text or bytearray(b" ")
        try:
            Config.from_folder(folder_with(tmp_path, bytes(text)))
            loads += 1
        except ConfigError as error:
            messages.append(str(error))
    assert loads
    assert messages
    assert all("\n" not in message and len(message) < 1000 for message in messages)
