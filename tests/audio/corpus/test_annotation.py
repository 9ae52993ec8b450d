"""TextGrids, as Praat and praatio write them, and .eaf: their tiers become clips."""

from __future__ import annotations

import pytest
from praatio import textgrid
from praatio.utilities.constants import Interval

from xlsr_ref.audio.corpus import open_corpus
from xlsr_ref.errors import ManifestError

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" FORMAT="3.0" VERSION="3.0">
 <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
  <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/field/story%20one.wav" MIME_TYPE="audio/x-wav"/>
 </HEADER>
 <TIME_ORDER>
  <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
  <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="{third}"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="3000"/>
  <TIME_SLOT TIME_SLOT_ID="ts5"/>
 </TIME_ORDER>
 <TIER TIER_ID="ref@A" PARTICIPANT="Anna" LINGUISTIC_TYPE_REF="ref">
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
   <ANNOTATION_VALUE>001</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
 </TIER>
 <TIER TIER_ID="tx@A" PARTICIPANT="Anna" LANG_REF="tpi" PARENT_REF="ref@A" LINGUISTIC_TYPE_REF="tx">
  <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">
   <ANNOTATION_VALUE>mi go</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1" PREVIOUS_ANNOTATION="a2">
   <ANNOTATION_VALUE>pinis &amp; kam</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
 </TIER>
 <TIER TIER_ID="tx@B" PARTICIPANT="Boris" LINGUISTIC_TYPE_REF="tx">
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
   <ANNOTATION_VALUE>nogat</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a5" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
   <ANNOTATION_VALUE>lost</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
 </TIER>
</ANNOTATION_DOCUMENT>
"""


def grid(path, tiers, form="short_textgrid"):
    made = textgrid.Textgrid()
    for name, parts in tiers.items():
        made.addTier(textgrid.IntervalTier(name, [Interval(*part) for part in parts], 0, 4.0))
    made.save(str(path), format=form, includeBlankSpaces=True)
    return path


@pytest.mark.parametrize("form", ["short_textgrid", "long_textgrid"])
def test_a_textgrid_of_either_form(tmp_path, sound, form):
    sound("talk.wav", 4.0)
    path = grid(tmp_path / "talk.TextGrid", {"said": [(0.5, 1.5, 'a "b" 7 ! c'), (2.0, 2.5, "é")], "notes": []}, form)
    corpus = open_corpus(path)
    assert [(c.text, c.start, c.end, c.path.name) for c in corpus.clips] == [
        ('a "b" 7 ! c', 0.5, 1.5, "talk.wav"),
        ("é", 2.0, 2.5, "talk.wav"),
    ]
    path.write_bytes(path.read_text("utf-8").encode("utf-16"))  # as Praat writes letters beyond Latin
    assert open_corpus(path).clips == corpus.clips


def test_a_tier_must_be_named_where_several_have_texts(tmp_path, sound):
    sound("talk.wav", 4.0)
    grid(
        tmp_path / "talk.TextGrid",
        {"anna": [(0, 1, "a"), (3, 4, "d")], "boris": [(0.5, 2, "b")], "gloss": [(0, 4, "g")]},
    )
    with pytest.raises(ManifestError, match="several tiers have texts, anna, boris, gloss: name those"):
        open_corpus(tmp_path)
    assert [c.text for c in open_corpus(tmp_path, tiers=["boris"]).clips] == ["b"]
    both = open_corpus(tmp_path, tiers=["anna", "boris"])
    assert [c.text for c in both.clips] == ["d"]
    assert [one.why for one in both.left_out] == [
        "it overlaps talk.TextGrid, tier boris, at 0.5 s: two voices at once",
        "it overlaps talk.TextGrid, tier anna, at 0 s: two voices at once",
    ]
    with pytest.raises(ManifestError, match="has no tier cara, only anna, boris, gloss"):
        open_corpus(tmp_path, tiers=["cara"])


def test_elan_with_a_tier_that_refers_to_another(tmp_path, sound, text):
    sound("story one.wav", 4.0)
    path = text("session.eaf", EAF.format(third=2000))
    corpus = open_corpus(path, tiers=["tx@A", "tx@B"])
    assert [(c.text, c.speaker, c.lang, c.start, c.end) for c in corpus.clips] == [
        ("mi go pinis & kam", "Anna", "tpi", 0.5, 1.5),
        ("nogat", "Boris", "und", 2.0, 3.0),
    ]
    assert corpus.left_out == [("session.eaf, tier tx@B, at 3 s", "its times are not set")]


def test_elan_with_overlapping_tiers(tmp_path, sound, text):
    sound("session.wav", 4.0)
    path = text("session.eaf", EAF.format(third=1000))
    with pytest.raises(ManifestError, match=r"no clip can be used, 3 were left out"):
        open_corpus(path, tiers=["tx@A", "tx@B"])
    assert len(open_corpus(path, tiers=["tx@A"]).clips) == 1


def test_one_tier_that_overlaps_itself(tmp_path, sound, text):
    sound("session.wav", 4.0)
    double = '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a9" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts4">' \
             "<ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>\n</ANNOT"  # fmt: skip
    path = text("session.eaf", EAF.format(third=2000).replace("</TIER>\n</ANNOT", double))
    with pytest.raises(ManifestError, match=r"in the tier tx@B two annotations overlap from 2 to 3 s"):
        open_corpus(path, tiers=["tx@B"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.TextGrid", "", "ends early or is damaged"),
        ("a.TextGrid", '"ooTextFile"\n"Sound"\n', "is not a TextGrid"),
        ("a.TextGrid", '"ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n3\n"IntervalTier"', "ends early or is damaged"),
        ("a.TextGrid", b"ooBinaryFile\x08TextGrid", "is a binary TextGrid"),
        ("a.TextGrid", b'"ooTextFile"\n\xff', "is not UTF-8"),
        ("a.eaf", "<x", "is not XML"),
        ("a.eaf", "<html/>", "is XML, but not of ELAN: it begins with html"),
        ("a.eaf", '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><ANNOTATION_DOCUMENT/>', "has a document type"),
        ("a.eaf", '<ANNOTATION_DOCUMENT><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1.5"/></ANNOTATION_DOCUMENT>',
         r"a time is 1\.5: expected whole milliseconds"),
        ("b.eaf", "<ANNOTATION_DOCUMENT/>", "no clip can be used, 1 were left out, b.eaf the first: its recording"),
        ("a.eaf", "<ANNOTATION_DOCUMENT/>", "no clip can be used, 0 were left out"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(sound, text, name, content, message):
    sound("a.wav")
    with pytest.raises(ManifestError, match=message) as error:
        open_corpus(text(name, content))
    assert "\n" not in str(error.value)
    assert name in str(error.value)
