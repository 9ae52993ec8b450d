"""The written formats, read back by small parsers of their grammars."""

import dataclasses
import json
import re
from itertools import pairwise

import pytest

from xlsr_ref.errors import XlsrError
from xlsr_ref.text.formats import FORMATS, format_alignment, format_transcript, format_transcripts
from xlsr_ref.text.textgrid import textgrid
from xlsr_ref.text.transcript import Span, Transcript

EMPTY = Transcript("", (), ())
STAMP = {"srt": r"(\d{2,}):([0-5]\d):([0-5]\d),(\d{3})", "vtt": r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"}


def spoken(*words, length=0.2, pause=0.1, begin=0.0, score=0.5):
    """A transcript of ``words``, ``length`` seconds each, with pauses between them; characters share their word."""
    spans, chars = [], []
    for i, word in enumerate(words):
        start = begin + i * (length + pause)
        spans.append(Span(word, start, start + length, score))
        edges = [start + length * k / max(len(word), 1) for k in range(len(word) + 1)]
        edges[-1] = start + length
        chars += [Span(letter, a, b, score) for letter, a, b in zip(word, edges, edges[1:])]
    return Transcript(" ".join(words), tuple(spans), tuple(chars))


def cues(text, name):
    """The cues of a subtitle file as (start, end, lines), by its grammar."""
    blocks = text.split("\n\n")
    if name == "vtt":
        assert blocks.pop(0).rstrip("\n") == "WEBVTT"
    read = []
    for number, block in enumerate(filter(None, (block.rstrip("\n") for block in blocks)), start=1):
        lines = block.split("\n")
        if name == "srt":
            assert lines.pop(0) == str(number)
        match = re.fullmatch(f"{STAMP[name]} --> {STAMP[name]}", lines.pop(0))
        assert match, block
        h, m, s, ms, h2, m2, s2, ms2 = map(int, match.groups())
        assert lines
        assert all(lines)
        read.append((h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000, lines))
    return read


def test_text():
    assert format_transcript(spoken("hello", "you"), "text") == "hello you\n"
    assert format_transcript(Transcript("a  b", (), ()), "text") == "a  b\n"  # as it is, also where words stand apart


def test_json():
    transcript = spoken("één", "two", length=1 / 3, score=2 / 3)
    text = format_transcript(transcript, "json")
    assert "één" in text
    read = json.loads(text)
    assert read["text"] == "één two"
    assert read["words"][0] == {"text": "één", "start": 0.0, "end": 0.333, "score": 0.6667}
    assert [char["text"] for char in read["chars"]] == list("ééntwo")


def test_tsv():
    lines = format_transcript(spoken("a", "b"), "tsv").split("\n")
    assert lines == ["start\tend\ttext\tscore", "0.000\t0.200\ta\t0.5000", "0.300\t0.500\tb\t0.5000", ""]


def test_tsv_keeps_its_shape_around_tabs_and_line_ends():
    rows = format_transcript(spoken("a\tb", "c\nd\r\ne\u2028f"), "tsv").split("\n")
    assert [row.split("\t")[2] for row in rows[1:3]] == ["a b", "c d e f"]
    assert len(rows) == 4


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles(name):
    read = cues(format_transcript(spoken("hello", "you", length=0.4, begin=3599.9), name), name)
    assert read == [(3599.9, pytest.approx(3600.8), ["hello you"])]


@pytest.mark.parametrize(
    ("seconds", "stamp"),
    [
        (59.9996, "00:01:00,000"),
        (0.0004, "00:00:00,000"),
        (3599.9999, "01:00:00,000"),
        (3661.0625, "01:01:01,062"),
        (360000, "100:00:00,000"),
    ],
)
def test_no_second_is_the_sixtieth(seconds, stamp):
    span = Span("a", seconds, seconds + 1, 0.5)
    assert format_transcript(Transcript("a", (span,), (span,)), "srt").split("\n")[1].split(" --> ")[0] == stamp


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_cues_are_short_and_break_at_pauses(name):
    words = ["abcdefgh"] * 40
    read = cues(format_transcript(spoken(*words), name), name)
    assert all(len(lines) <= 2 and all(len(line) <= 42 for line in lines) for _, _, lines in read)
    assert sum(len(line.split()) for _, _, lines in read for line in lines) == 40
    slow = cues(format_transcript(spoken(*["a"] * 20, length=0.9, pause=0.7), name), name)
    assert all(end - start <= 6.0 for start, end, _ in slow)
    assert [len(lines[0].split()) for _, _, lines in slow] == [4, 4, 4, 4, 4]  # 4 * 0.9 + 3 * 0.7 = 5.7 seconds
    assert len(cues(format_transcript(spoken("a", "b", pause=0.79), name), name)) == 1
    assert len(cues(format_transcript(spoken("a", "b", pause=0.81), name), name)) == 2


@pytest.mark.parametrize("seconds", [3.0, 40.0])  # too many characters for a cue, and too long as well
@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_a_language_without_spaces_is_cut_by_characters(name, seconds):
    transcript = dataclasses.replace(spoken("好" * 200, length=seconds), duration=seconds)
    read = cues(format_transcript(transcript, name), name)
    assert all(end - start <= 6.001 for start, end, _ in read)  # each end is rounded to a millisecond
    assert all(len(lines) <= 2 and all(len(line) <= 42 for line in lines) for _, _, lines in read)
    assert "".join("".join(lines) for _, _, lines in read) == "好" * 200
    assert read[0][0] == 0
    assert read[-1][1] == seconds


def test_vtt_escapes_what_is_markup():
    text = format_transcript(spoken("<unk>", "R&B", "-->"), "vtt")
    assert "&lt;unk&gt; R&amp;B --&gt;" in text
    assert text.count("-->") == 1


@pytest.mark.parametrize("arrow", ["-->", "--->", "---->>", "--> -->"])
@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_no_arrow_inside_a_cue(name, arrow):
    text = format_transcript(spoken("a", arrow), name)
    assert text.count("-->") == 1


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_white_space_in_words_makes_no_empty_lines(name):
    read = cues(format_transcript(spoken("a\n\nb", "\u3000", "\n", "c"), name), name)
    assert [lines for _, _, lines in read] == [["a b c"]]
    apart = cues(format_transcript(spoken("a", "\n", "c", pause=1.0), name), name)
    assert [lines for _, _, lines in apart] == [["a"], ["c"]]


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_transcript_is_a_valid_file(name):
    text = format_transcript(EMPTY, name)
    empty_cue = "1\n00:00:00,000 --> 00:00:00,800\n\u200b\n"  # players refuse a file of no bytes
    expected = {"text": "\n", "srt": empty_cue, "vtt": "WEBVTT\n", "tsv": "start\tend\ttext\tscore\n"}
    expected |= {"ctm": "", "textgrid": textgrid(EMPTY, 0.0)}
    if name == "json":
        assert json.loads(text) == {"text": "", "score": None, "words": [], "chars": []}
    else:
        assert text == expected[name]


def test_several_recordings():
    named = [("one.wav", spoken("a")), ("two\t.wav", EMPTY), ("three.wav", spoken("b", "c"))]
    assert format_transcripts(named, "text") == "one.wav\ta\ntwo .wav\t\nthree.wav\tb c\n"
    rows = [line.split("\t") for line in format_transcripts(named, "tsv").splitlines()]
    assert rows[0] == ["file", "start", "end", "text", "score"]
    assert [(row[0], row[3]) for row in rows[1:]] == [("one.wav", "a"), ("three.wav", "b"), ("three.wav", "c")]
    read = json.loads(format_transcripts(named, "json"))
    assert [item["file"] for item in read] == ["one.wav", "two\t.wav", "three.wav"]
    assert {"file": "one.wav"} | json.loads(format_transcript(named[0][1], "json")) == read[0]


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles_of_several_recordings_need_a_file_each(name):
    with pytest.raises(XlsrError, match="one file for each"):
        format_transcripts([("a", EMPTY), ("b", EMPTY)], name)


@pytest.mark.parametrize(
    "write", [lambda name: format_transcript(EMPTY, name), lambda name: format_transcripts([], name)]
)
def test_unknown_format(write):
    with pytest.raises(XlsrError, match="'docx' is not known: choose one of text, json, srt, vtt, tsv"):
        write("docx")


# --- pauses and short cues -------------------------------------------------------------------------------------------


def heard(*letters, duration=None):
    """A transcript of letters (text, start, end), whose words stand between spaces."""
    chars, words, word = [Span(text, start, end, 0.5) for text, start, end in letters], [], []
    for char in [*chars, Span(" ", 0, 0, 0.5)]:
        if char.text != " ":
            word.append(char)
        elif word:
            words.append(Span("".join(one.text for one in word), word[0].start, word[-1].end, 0.5))
            word = []
    return Transcript(" ".join(one.text for one in words), tuple(words), tuple(chars), 0.5, duration)


GULF = heard(
    ("a", 0.0, 0.5), ("b", 0.5, 0.9), ("c", 13.0, 13.4), ("d", 13.6, 14.0), (" ", 14.0, 14.1), ("e", 14.2, 15.0)
)


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_no_cue_bridges_a_pause_inside_a_word(name):
    read = cues(format_transcript(GULF, name), name)
    assert read == [(0.0, 0.9, ["ab"]), (13.0, 15.0, ["cd e"])]
    assert len(cues(format_transcript(heard(("a", 0.0, 0.4), ("b", 1.2, 1.6)), name), name)) == 1  # just 0.8 s
    assert GULF.text == "abcd e"
    assert [word.text for word in GULF.words] == ["abcd", "e"]


def test_json_marks_a_word_that_holds_a_pause():
    words = json.loads(format_transcript(GULF, "json"))["words"]
    assert words[0]["pause"] == [0.9, 13.0]
    assert "pause" not in words[1]
    two = heard(("a", 0.0, 0.1), ("b", 1.0, 1.1), ("c", 5.0, 5.1))
    assert json.loads(format_transcript(two, "json"))["words"][0]["pause"] == [1.1, 5.0]  # the longest


@pytest.mark.parametrize("name", ["srt", "vtt"])
@pytest.mark.parametrize(
    ("letters", "duration", "expected"),
    [
        ([("a", 1.0, 1.02)], None, [(1.0, 1.8)]),  # a frame
        ([("a", 1.0, 1.02)], 1.5, [(0.7, 1.5)]),  # not beyond the end: earlier
        ([("a", 0.2, 0.22)], 0.4, [(0.0, 0.4)]),
        ([("a", 1.0, 1.02), ("b", 1.9, 1.92)], None, [(1.0, 1.8), (1.9, 2.7)]),
        ([("a", 1.0, 1.02), ("b", 1.9, 1.92)], 2.0, [(1.0, 1.8), (1.8, 2.0)]),
        ([("a", 1.0, 3.0)], 3.0, [(1.0, 3.0)]),
    ],
)
def test_no_cue_is_too_short_to_be_seen_and_none_overlap(name, letters, duration, expected):
    read = cues(format_transcript(heard(*letters, duration=duration), name), name)
    assert [(start, end) for start, end, _ in read] == expected


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_cues_in_a_row_never_overlap(name):
    """Every word is a cue of its own, longer than a line, and a frame long."""
    words = [("x" * 50, 0.02 * n, 0.02 * n + 0.02) for n in range(40)]
    spans = tuple(Span(text, start, end, 0.5) for text, start, end in words)
    read = cues(format_transcript(Transcript("", spans, (), duration=1.0), name), name)
    assert all(end <= following for (_, end, _), (following, _, _) in pairwise(read))
    assert read[-1][1] <= 1.0


def test_silence_is_a_file_that_players_take():
    silence = dataclasses.replace(EMPTY, duration=12.5)
    assert format_transcript(silence, "srt") == "1\n00:00:00,000 --> 00:00:12,500\n\u200b\n"
    assert format_transcript(silence, "vtt") == "WEBVTT\n"
    assert format_alignment(silence, "srt", "talk", 12.5, "characters").startswith("1\n")


# --- of an alignment -------------------------------------------------------------------------------------------------


def test_ctm_has_a_line_per_word():
    words = (Span("één", 0.02, 0.34, 2 / 3), Span("h ə", 1.0, 2.5, 0.5))
    text = format_alignment(Transcript("", words, ()), "ctm", "my talk\n1", 3.0, "characters")
    assert text == "my_talk_1 1 0.020 0.320 één 0.6667\nmy_talk_1 1 1.000 1.500 h_ə 0.5000\n"
    assert format_alignment(Transcript("", words[:1], ()), "ctm", " ", 3.0, "characters").startswith("recording 1 ")


@pytest.mark.parametrize("name", ["json", "srt", "vtt"])
def test_formats_of_transcripts_are_the_same_for_alignments(name):
    aligned = Transcript("a", (Span("a", 0.0, 1.0, 0.5),), (Span("a", 0.0, 1.0, 0.5),), 0.5, 1.5)
    assert format_alignment(aligned, name, "talk", 1.5, "characters") == format_transcript(aligned, name)


def test_textgrid_ends_with_the_recording():
    text = format_alignment(Transcript("", (), ()), "textgrid", "talk", 1.5, "phones")
    assert "xmax = 1.5\n" in text
    assert 'name = "phones"' in text


def test_a_format_that_no_alignment_has():
    with pytest.raises(XlsrError, match="'tsv' is not known: choose one of textgrid, eaf, json, srt, vtt, ctm"):
        format_alignment(Transcript("", (), ()), "tsv", "talk", 1.0, "characters")


def test_a_transcript_for_praat_and_for_scoring():
    words = (Span("one", 0.5, 1.0, 0.9), Span("two", 1.0, 1.5, 0.5))
    transcript = Transcript("one two", words, (), 0.7, 2.0)
    assert format_transcript(transcript, "textgrid") == textgrid(transcript, 2.0)
    assert (
        format_transcript(transcript, "ctm", "talk") == "talk 1 0.500 0.500 one 0.9000\ntalk 1 1.000 0.500 two 0.5000\n"
    )
    both = format_transcripts([("a", transcript), ("b", transcript)], "ctm")
    assert [line.split()[0] for line in both.splitlines()] == ["a", "a", "b", "b"]
    with pytest.raises(XlsrError, match="textgrid holds one recording"):
        format_transcripts([("a", transcript)], "textgrid")


def test_a_line_of_the_text_begins_a_cue():
    words = tuple(Span(text, i / 2, i / 2 + 0.4, 0.9) for i, text in enumerate(["I", "came", "I", "saw"]))
    lines = (Span("I came", 0.0, 0.9, 0.9), Span("I saw", 1.0, 1.9, 0.9))
    cues = format_transcript(Transcript("", words, (), 0.9, 9.0, utterances=lines), "vtt").split("\n\n")
    assert [cue.splitlines()[1] for cue in cues[1:]] == ["I came", "I saw"]
    assert len(format_transcript(Transcript("", words, (), 0.9, 9.0), "vtt").split("\n\n")) == 2
