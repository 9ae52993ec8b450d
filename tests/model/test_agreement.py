"""Facts that stand in two files of a model folder: contradictions are refused or told."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import VocabularyError

BUNDLED = Path(xlsr_ref.__file__).parent / "data" / "small-ctc"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(BUNDLED, tmp_path / "model"))


def change(folder: Path, name: str, **values) -> None:
    path = folder / name
    old = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(old | values, ensure_ascii=False), "utf-8")


def told(folder: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        xlsr_ref.load(folder)
    return [str(one.message).removeprefix(f"{folder}: ") for one in caught]


def test_files_that_agree_are_not_spoken_of(folder):
    assert told(folder) == []
    change(folder, "processor_config.json", feature_extractor={"sampling_rate": 16000})
    change(folder, "added_tokens.json", **{"a": 4})
    assert told(folder) == []


def test_two_blanks_are_refused_with_both_values(folder):
    change(folder, "config.json", pad_token_id=2)
    says = (
        r"config\.json says pad_token_id=2 \('\|'\), but the tokenizer's files \(vocab\.json, tokenizer_config\.json\) "
        r"give the pad token '\[PAD\]' the id 0"
    )
    with pytest.raises(VocabularyError, match=says):
        xlsr_ref.load(folder)
    change(folder, "config.json", pad_token_id=0)
    change(folder, "tokenizer_config.json", pad_token="|")
    change(folder, "special_tokens_map.json", pad_token="|")
    with pytest.raises(VocabularyError, match=r"says pad_token_id=0 .* '\|' the id 2"):
        xlsr_ref.load(folder)


def test_a_config_that_leaves_the_blank_open_is_read(folder):
    change(folder, "config.json", pad_token_id=None)
    assert told(folder) == []


def test_a_model_without_a_head_has_no_blank(tmp_path):
    folder = Path(shutil.copytree(BUNDLED.with_name("small-pretrained"), tmp_path / "model"))
    shutil.copy(BUNDLED / "vocab.json", folder)
    change(folder, "tokenizer_config.json", pad_token="|")
    assert told(folder) == []


def test_a_blank_that_no_frame_can_be_is_told(folder):
    change(folder, "tokenizer_config.json", pad_token="<blank>")
    change(folder, "special_tokens_map.json", pad_token="<blank>")
    (says,) = told(folder)
    assert says.startswith("the tokenizer's files give the pad token '<blank>' the id 78, but lm_head has 78 rows")


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        (
            "tokenizer_config.json",
            {"unk_token": "<unk>"},
            "tokenizer_config.json gives the unk_token '<unk>', special_tokens_map.json '[UNK]': '[UNK]' is taken",
        ),
        (
            "special_tokens_map.json",
            {"word_delimiter_token": {"content": "'"}},
            "tokenizer_config.json gives the word_delimiter_token '|', special_tokens_map.json \"'\": \"'\" is taken",
        ),
        (
            "added_tokens.json",
            {"a": 77},
            "vocab.json gives the token 'a' the id 4, added_tokens.json 77: 77 is taken",
        ),
        (
            "processor_config.json",
            {"feature_extractor": {"sampling_rate": 8000, "do_normalize": True}},
            "preprocessor_config.json says sampling_rate=16000, processor_config.json 8000: the second is taken",
        ),
        (
            "processor_config.json",
            {"feature_extractor": {"sampling_rate": 16000, "do_normalize": False}},
            "preprocessor_config.json says do_normalize=True, processor_config.json False: the second is taken",
        ),
    ],
)
def test_what_changes_a_transcript_is_told_with_the_one_that_is_taken(folder, name, values, says):
    change(folder, name, **values)
    if name == "added_tokens.json":  # the id is another token's, in vocab.json
        vocabulary = {token: id for token, id in json.loads((folder / "vocab.json").read_text()).items() if id != 77}
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
    assert told(folder) == [says]


def test_what_is_taken_is_what_is_used(folder):
    change(folder, "processor_config.json", feature_extractor={"do_normalize": False})
    with pytest.warns(UserWarning, match="False: the second is taken"):
        assert xlsr_ref.load(folder).preprocessor.do_normalize is False
    (folder / "processor_config.json").unlink()
    change(folder, "special_tokens_map.json", word_delimiter_token="'")
    with pytest.warns(UserWarning, match=r"\"'\" is taken"):
        assert xlsr_ref.load(folder).tokenizer.word_delimiter == "'"


def test_threads_must_be_a_number():
    with pytest.raises(xlsr_ref.XlsrError, match="threads is True: give a whole number of at least 1"):
        xlsr_ref.load(threads=True)
    assert np.isclose(xlsr_ref.load(threads=1).seconds_per_frame, 0.02)
