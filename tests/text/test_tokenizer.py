"""The tokenizer against recordings of transformers, by hand where the answer is plain, and against broken files."""

import json
import random
import subprocess
import sys
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from xlsr_ref.errors import VocabularyError
from xlsr_ref.text.read_tokenizer import read_tokenizer

GOLDEN = Path(__file__).parent.parent / "golden" / "tokenizer.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]

PHONEMIC = {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"}
LETTERS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5, "B": 6, "E": 7}


def folder_of(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def make(folder, vocab=LETTERS, target_lang=None, **files):
    return read_tokenizer(folder_of(folder, vocab=vocab, **files), target_lang)


@pytest.fixture(params=CASES)
def recorded(request, tmp_path):
    case = CASES[request.param]
    for name, content in case["files"].items():
        (tmp_path / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return case, read_tokenizer(tmp_path, case["target_lang"])


def test_vocabulary_as_recorded(recorded):
    case, tokenizer = recorded
    assert tokenizer.vocabulary == case["vocabulary"]
    assert tokenizer.pad_id == case["pad_id"]


def test_encode_as_recorded(recorded):
    case, tokenizer = recorded
    for text, ids in case["encoded"].items():
        if ids is None:  # theirs: an id that is None
            with pytest.raises(VocabularyError, match="no unknown token"):
                tokenizer.encode(text)
        else:
            assert tokenizer.encode(text) == ids, text


def test_decode_as_recorded(recorded):
    case, tokenizer = recorded
    for path in case["paths"]:
        for group, skip in product((True, False), repeat=2):
            expected = path["decoded"].get(f"group_tokens={group} skip_special_tokens={skip}", "")  # theirs may fail
            assert tokenizer.decode(path["ids"], group_tokens=group, skip_special_tokens=skip) == expected


def test_both_ways_by_hand(tmp_path):
    tokenizer = make(tmp_path)
    assert tokenizer.encode("A BE") == [5, 4, 6, 7]
    assert tokenizer.decode([5, 4, 6, 7]) == "A BE"
    assert tokenizer.encode("A?<pad>") == [5, 3, 0]
    assert tokenizer.tokens[4] == "|"


def test_collapse_merges_before_it_drops(tmp_path):
    tokenizer = make(tmp_path)
    assert tokenizer.decode([7, 7]) == "E"
    assert tokenizer.decode([7, 0, 7]) == "EE"
    assert tokenizer.decode([7, 7], group_tokens=False) == "EE"


def test_blank_is_the_pad_token_wherever_it_stands(tmp_path):
    tokenizer = make(tmp_path, {"E": 0, "[UNK]": 1, "[PAD]": 2, "|": 3}, tokenizer_config={"pad_token": "[PAD]"})
    assert tokenizer.pad_id == 2
    assert tokenizer.decode([0, 2, 0]) == "EE"


def test_word_delimiter_given_as_a_string_is_obeyed(tmp_path):
    config = {"word_delimiter_token": "_"}
    tokenizer = make(tmp_path, {"<pad>": 0, "<unk>": 1, "_": 2, "A": 3, "B": 4}, tokenizer_config=config)
    assert tokenizer.encode("A B") == [3, 2, 4]
    assert tokenizer.decode([3, 2, 4]) == "A B"


def test_target_lang(tmp_path):
    languages = {"eng": LETTERS, "fra": {**LETTERS, "É": 8}}
    assert make(tmp_path, languages, "fra").encode("É") == [8]
    assert make(tmp_path, languages, "eng").encode("É") == [3]
    assert make(tmp_path, languages, tokenizer_config={"target_lang": "fra"}).encode("É") == [8]
    with pytest.raises(VocabularyError, match="'deu': choose one of 'eng', 'fra'"):
        make(tmp_path, languages, "deu")


def test_rows(tmp_path):
    tokenizer = make(tmp_path)
    tokenizer.check_rows(8)
    tokenizer.check_rows(5)  # more entries than rows
    with pytest.warns(UserWarning, match=r"10 rows.* ids 8, 9: they are read as <unk>"):
        tokenizer.check_rows(10)
    assert tokenizer.decode([5, 8, 6]) == tokenizer.decode([5]) + "<unk>" + tokenizer.decode([6])


def test_rows_without_a_token_are_refused_where_nothing_stands_for_them(tmp_path):
    with pytest.raises(VocabularyError, match=r"4 rows.* ids 3: take the vocab.json"):
        make(tmp_path, {"<pad>": 0, "a": 1, "|": 2}, tokenizer_config={"unk_token": None}).check_rows(4)


def test_of_two_tokens_with_one_id_the_later_one_is_read(tmp_path):
    """As transformers does: both are encoded as that id, and the later one is what it is decoded as."""
    with pytest.warns(UserWarning, match="the id 6 to two tokens, 'b' and 'c': it is read as 'c', the later one"):
        tokenizer = make(tmp_path, {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "c": 6})
    assert tokenizer.decode([5, 6, 5]) == "aca"
    assert tokenizer.encode("abc") == [5, 6, 6]


def test_rows_name_the_gaps(tmp_path):
    with pytest.raises(VocabularyError, match="ids 2, 3, 5, 6, 7, 8, 9, 10, 11, 12 and 7 more:"):
        make(tmp_path, {"<pad>": 0, "<unk>": 1, "|": 4}).check_rows(20)


def test_rows_of_special_tokens(tmp_path):
    short = {"<pad>": 0, "<unk>": 1, "|": 2}
    with pytest.warns(UserWarning, match="ids 3, 4:"):
        make(tmp_path, short).check_rows(5)  # <s> and </s> are defaults: nothing says that the network knows them
    make(tmp_path, short, tokenizer_config={"bos_token": "<s>", "eos_token": "</s>"}).check_rows(5)
    make(tmp_path, short, tokenizer_config={}, added_tokens={"<s>": 3, "</s>": 4}).check_rows(5)


REFUSED = {
    "a list": ({"vocab": ["a", "b"]}, "vocab.json must hold a JSON object"),
    "a negative id": ({"vocab": {"a": -1}}, "'a' the id -1"),
    "a fraction": ({"vocab": {"a": 1.5}}, "'a' the id 1.5"),
    "true": ({"vocab": {"a": True}}, "'a' the id True"),
    "not a number": ({"vocab": {"a": float("nan")}}, "NaN is not JSON"),
    "a string": ({"vocab": {"a": "0"}}, "'a' the id '0'"),
    "half a letter": ({"vocab": {"\ud800": 0}}, "half of a surrogate pair"),
    "a novel": ({"vocab": LETTERS | {"a" * 10**6: 8}}, "has 1000000 characters"),
    "many languages": ({"vocab": {"eng": LETTERS}}, "choose a target_lang, one of 'eng'"),
    "one language": ({"vocab": LETTERS, "tokenizer_config": {"target_lang": "eng"}}, "leave it out"),
    "language of the wrong type": ({"vocab": {"eng": {}}, "tokenizer_config": {"target_lang": 3}}, "no language 3"),
    "language that is none": ({"vocab": {"eng": {}, "n": 3}, "tokenizer_config": {"target_lang": "n"}}, "JSON object"),
    "config a list": ({"vocab": LETTERS, "tokenizer_config": []}, "tokenizer_config.json must hold a JSON object"),
    "pad token a number": ({"vocab": LETTERS, "tokenizer_config": {"pad_token": 0}}, "'pad_token' must be a token"),
    "delimiter a number": ({"vocab": LETTERS, "tokenizer_config": {"word_delimiter_token": 4}}, "must be a token"),
    "space a null": (
        {"vocab": LETTERS, "tokenizer_config": {"replace_word_delimiter_char": None}},
        "a string, not null",
    ),
    "flag a number": ({"vocab": LETTERS, "tokenizer_config": {"do_lower_case": 1}}, "must be true or false"),
    "phonemes with a number": ({"vocab": LETTERS, "tokenizer_config": PHONEMIC | {"phonemizer_lang": 3}}, "a string"),
    "phonemes with a flag": ({"vocab": LETTERS, "tokenizer_config": PHONEMIC | {"do_phonemize": 3}}, "true or false"),
    "phonemes, delimiter": ({"vocab": LETTERS, "tokenizer_config": PHONEMIC | {"word_delimiter_token": 3}}, "a token"),
    "extra tokens a number": ({"vocab": LETTERS, "tokenizer_config": {"extra_special_tokens": 3}}, "list of tokens"),
    "added id": ({"vocab": LETTERS, "added_tokens": {"<x>": "9"}}, "'<x>' the id '9'"),
    "added id twice": ({"vocab": LETTERS, "added_tokens": {"<x>": 9, "<y>": 9}}, "'<y>' the id 9, which is taken"),
    "added id of another": ({"vocab": LETTERS, "added_tokens": {"<x>": 5}}, "'A' in vocab.json, '<x>' among the added"),
    "added tokens null": ({"vocab": LETTERS, "tokenizer_config": {"added_tokens_decoder": None}}, "JSON object"),
    "added token a string": ({"vocab": LETTERS, "tokenizer_config": {"added_tokens_decoder": {"9": "<x>"}}}, "id '9'"),
    "added key": ({"vocab": LETTERS, "tokenizer_config": {"added_tokens_decoder": {"x": {"content": "y"}}}}, "id 'x'"),
    "added without content": ({"vocab": LETTERS, "tokenizer_config": {"added_tokens_decoder": {"9": {}}}}, "'content'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name, tmp_path):
    files, message = REFUSED[name]
    with pytest.raises(VocabularyError, match=message):
        make(tmp_path, **files)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "is not UTF-8 text: byte 0 is 0xff"),
        (b'{"\xe9": 0}', "is not UTF-8 text: byte 2 is 0xe9"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON: a whole number has 5,000 digits"),
        (b'{"a": 0, "a": 1}', "the key 'a' stands twice"),
    ],
    ids=["empty", "cut off", "UTF-16", "Latin-1", "too deep", "too long a number", "twice"],
)
def test_not_json(content, message, tmp_path):
    (tmp_path / "vocab.json").write_bytes(content)
    with pytest.raises(VocabularyError, match=f"vocab.json {message}" if " is " in message else message):
        read_tokenizer(tmp_path)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "vocab.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(LETTERS).encode())
    assert read_tokenizer(tmp_path).vocabulary == make(tmp_path, LETTERS).vocabulary


def test_missing_files(tmp_path):
    with pytest.raises(VocabularyError, match=r"has no vocab\.json"):
        read_tokenizer(tmp_path)
    with pytest.raises(VocabularyError, match=r"has no vocab\.json"):
        read_tokenizer(tmp_path / "nowhere")
    (tmp_path / "vocab.json").mkdir()
    with pytest.raises(VocabularyError, match="is a folder"):
        read_tokenizer(tmp_path)


# --- mutated files ----------------------------------------------------------------------------------------------------

PIECES = [
    *("{", "}", "[", "]", ":", ",", '"', "\\", "\n", "null", "true", "NaN", "-Infinity", "-1", "1e999", "0.5", "1e400"),
    *('"a"', '"\\ud800"', '"\\u0000"', '""', "{}", "[]", '{"content": "<x>"}', '{"a": 1}', "[" * 2000, "9" * 5000),
    *('"pad_token": 3', '"target_lang": "eng"', '"word_delimiter_token": null', '"x_token": ["', "\ufeff", "é"),
]


def mutated(content, rng):
    """``content`` with one to four bytes flipped, stretches cut, doubled or swapped, or pieces of JSON put in."""
    for _ in range(rng.randint(1, 4)):
        i, j = sorted(rng.randint(0, len(content)) for _ in range(2))
        how = rng.randrange(5)
        if how == 0 and content:
            i = min(i, len(content) - 1)
            content = content[:i] + bytes([content[i] ^ (1 << rng.randrange(8))]) + content[i + 1 :]
        elif how == 1:
            content = content[:i] + content[i + rng.randint(1, 8) :]
        elif how == 2:
            content = content[:j] + content[i : i + 30] + content[j:]
        elif how == 3:
            content = content[:i] + rng.choice(PIECES).encode() + content[i + rng.choice((0, 0, 1, 3)) :]
        elif rng.random() < 0.2:
            content = content[:i]
    return content


VALUES = [None, True, -1, 3, 10**30, 1.0, float("nan"), "", "a", "|", "\ud800", "\n", [], ["a", 3], {}, {"content": 3}]


def misstated(value, rng):
    """``value``, valid JSON still, with one of its values or names replaced somewhere."""
    if not isinstance(value, dict) or not value or rng.random() < 0.1:
        return rng.choice([*VALUES, {"a": value}, [value]])
    name = rng.choice(list(value))
    if rng.random() < 0.3:
        other = rng.choice(["word_delimiter_token", "added_tokens_decoder", "target_lang", "a", "x\n_token", "7"])
        return {other if key == name else key: content for key, content in value.items()}
    return value | {name: misstated(value[name], rng)}


def refusal(folder, rng):
    """Load one mutated folder and use it. The refusal, or None; anything but a VocabularyError gets out."""
    case = CASES[rng.choice(list(CASES))]
    spoilt = rng.choice(list(case["files"]))
    for path in folder.glob("*.json"):
        path.unlink()
    for name, content in case["files"].items():
        wrong = name == spoilt and rng.random() < 0.6
        written = json.dumps(misstated(content, rng) if wrong else content).encode()
        (folder / name).write_bytes(mutated(written, rng) if name == spoilt and not wrong else written)
    try:
        tokenizer = read_tokenizer(folder, case["target_lang"])
    except VocabularyError as error:
        return str(error)
    for use in (
        lambda: tokenizer.decode(range(12)),
        lambda: tokenizer.encode("a <s>tʃ"),
        lambda: tokenizer.check_rows(4),
    ):
        with suppress(VocabularyError):
            use()
    return None


@pytest.mark.filterwarnings("ignore:lm_head has|vocab.json gives")
def test_mutated_files(tmp_path):
    rng = random.Random(38)
    refusals = [refusal(tmp_path, rng) for _ in range(400)]
    messages = [message for message in refusals if message is not None]
    assert 40 < len(messages) < 360  # the mutations neither break everything nor nothing
    assert all(len(message.splitlines()) == 1 and len(message) < 600 for message in messages)


def test_import_is_light():
    heavy = "{'numba', 'scipy', 'soundfile', 'torch', 'transformers', 'matplotlib', 'xlsr_ref.ops', 'xlsr_ref.model'}"
    code = "import sys, xlsr_ref.text.greedy, xlsr_ref.text.formats; " + f"print(*({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
