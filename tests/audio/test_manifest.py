"""Lists of recordings: what is read, and what is refused, with the line's number."""

from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import COLUMNS, Clip, read_columns, read_manifest
from xlsr_ref.errors import ManifestError

HEADER = "\t".join(COLUMNS) + "\n"
BUNDLED = Path(xlsr_ref.__file__).parent / "data" / "clips.tsv"
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


@pytest.fixture
def write(tmp_path):
    """Write a manifest with this content beside the recordings a.wav and sub/b.wav."""
    (tmp_path / "sub").mkdir()
    for name in ("a.wav", "sub/b.wav"):
        (tmp_path / name).touch()

    def file(content: str | bytes, name: str = "list.tsv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


def test_the_lines_become_clips(write, tmp_path):
    path = write(HEADER + 'a.wav\ten\tanna\t1.5\ttrain\tsay "hi" — ё\n\nsub/b.wav\tru\tboris\t2\ttest\t\n')
    first = Clip(tmp_path / "a.wav", "en", "anna", 1.5, "train", 'say "hi" — ё')
    second = Clip(tmp_path / "sub/b.wav", "ru", "boris", 2.0, "test", "")
    assert read_manifest(path) == [first, second]
    assert read_manifest(str(path), split="test") == [second]


def test_columns_in_any_order_and_more_of_them(write):
    path = write("text\tsplit\tnote\tseconds\tspeaker\tlang\tpath\nhello\tdev\tx\t.5\tanna\ten\ta.wav")
    (clip,) = read_manifest(path)
    assert (clip.text, clip.split, clip.seconds, clip.path.name) == ("hello", "dev", 0.5, "a.wav")


def test_windows_line_ends_a_byte_order_mark_and_rare_line_separators(write):
    row = "a.wav\ten\tanna\t1\ttest\tone\u2028two\x0bthree"
    (clip,) = read_manifest(write(b"\xef\xbb\xbf" + (HEADER + row + "\n").replace("\n", "\r\n").encode()))
    assert clip.text == "one\u2028two\x0bthree"


def test_another_root(write, tmp_path):
    path = write(HEADER + "b.wav\ten\tanna\t1\ttest\thello\n")
    with pytest.raises(ManifestError, match="no file"):
        read_manifest(path)
    assert read_manifest(path, root=tmp_path / "sub")[0].path == tmp_path / "sub" / "b.wav"


def test_recordings_of_other_splits_need_not_be_there(write):
    path = write(HEADER + "a.wav\ten\tanna\t1\ttest\thello\nlost.wav\ten\tanna\t1\ttrain\thello\n")
    assert len(read_manifest(path, split="test")) == 1
    with pytest.raises(ManifestError, match=r"line 3: there is no file .*lost\.wav"):
        read_manifest(path)


def test_the_bundled_list():
    clips = read_manifest(BUNDLED)
    assert len(clips) == 50
    assert clips[0].text == "they have been carried away by monkeys"


def test_the_corpus():
    if not CORPUS.exists():
        pytest.skip("the corpus is not here")
    assert len(read_manifest(CORPUS / "fsdd.tsv", split="test")) == 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: has no column path, lang, speaker, seconds, split, text; the first line names the columns"),
        ("path\tlang\tspeaker\tseconds\ttext\n", "line 1: has no column split;"),
        ("path,lang,speaker,seconds,split,text\n", "has no column path,"),
        (HEADER.replace("text", "text\ttext"), "names the column text twice"),
        (HEADER, "has a first line but no recordings"),
        (HEADER + "a.wav\ten\tanna\t1\ttest\n", "line 2: has 5 columns, but the first line names 6"),
        (HEADER + "a.wav\ten\tanna\t1\ttest\thello\tyou\n", "line 2: has 7 columns"),
        (HEADER + "a.wav\ten\tanna\tlong\ttest\thello\n", "line 2: seconds is long: it must be a number above 0"),
        (HEADER + "a.wav\ten\tanna\t0\ttest\thello\n", "seconds is 0"),
        (HEADER + "a.wav\ten\tanna\tnan\ttest\thello\n", "seconds is nan"),
        (HEADER + "a.wav\ten\tanna\tinf\ttest\thello\n", "seconds is inf"),
        (HEADER + "\n\na.wav\ten\tanna\t\ttest\thello\n", "line 4: seconds is ''"),
        (HEADER + "\ten\tanna\t1\ttest\thello\n", "line 2: the path is empty"),
        (HEADER + "sub\ten\tanna\t1\ttest\thello\n", "line 2: there is no file"),
        (HEADER + "a\0.wav\ten\tanna\t1\ttest\thello\n", r"there is no file '.*a\\x00.wav'"),
        (b"RIFF\xff\xfe\x00", "is not UTF-8 text: byte 4 is 0xff: give a table of recordings"),
    ],
)
def test_what_cannot_be_read_is_named(write, content, message):
    with pytest.raises(ManifestError, match=message) as error:
        read_manifest(write(content))
    assert "\n" not in str(error.value)
    assert "list.tsv" in str(error.value)


def test_an_empty_split_and_those_there_are(write):
    path = write(HEADER + "a.wav\ten\tanna\t1\ttest\thello\na.wav\ten\tanna\t1\tde\rv\thello\n")
    with pytest.raises(ManifestError, match=r"no recording of the split train, only of 'de\\rv', test"):
        read_manifest(path, split="train")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(ManifestError, match=r"nowhere\.tsv is missing"):
        read_manifest(tmp_path / "nowhere.tsv")
    with pytest.raises(ManifestError, match="is a folder"):
        read_manifest(tmp_path)


def test_a_column_of_a_table_without_splits_is_refused_in_words(tmp_path):
    (tmp_path / "few.tsv").write_text("path\ttext\troom\none.wav\tone\thall\n")
    with pytest.raises(ManifestError, match=r"few.tsv, line 1: has no column lang, speaker, seconds, split; the first"):
        read_columns(tmp_path / "few.tsv", ["room"], split="test")
