"""ELAN's .eaf: what is written is read again by the reader of corpora, and by any reader of XML."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import soundfile

from xlsr_ref.audio.corpus import open_corpus
from xlsr_ref.text.eaf import eaf
from xlsr_ref.text.transcript import Check, Span, Transcript


def test_what_is_written_is_read_again(tmp_path):
    words = (Span("a<b", 0.5, 1.0, 0.9), Span("c & d", 1.0, 1.4996, 0.9), Span("\x1b[1m", 1.6, 1.7, 0.9))
    chars = (Span("a", 0.5, 0.6, 0.9), Span(" ", 0.6, 0.7, 0.9), Span("x", 0.65, 0.65, 0.9))
    check = Check((), (), (Span("“d” was probably not said", 1.0, 1.5, 0.9),))
    transcript = Transcript("", words, chars, utterances=(Span("a<b c & d", 0.5, 1.5, 0.9),), check=check)
    (tmp_path / "talk.eaf").write_text(eaf(transcript, "talk one.wav"), "utf-8")
    soundfile.write(tmp_path / "talk one.wav", np.zeros(16000), 8000)
    found = open_corpus(tmp_path / "talk.eaf", tiers=["words"]).clips
    assert [(clip.text, clip.start, clip.end) for clip in found] == [
        ("a<b", 0.5, 1.0), ("c & d", 1.0, 1.5), ("\\u001b[1m", 1.6, 1.7)]  # fmt: skip
    root = ElementTree.parse(tmp_path / "talk.eaf").getroot()
    tiers = {tier.get("TIER_ID"): len(tier) for tier in root.findall("TIER")}
    assert tiers == {"utterances": 1, "words": 3, "characters": 1, "doubts": 1}
    slots = {slot.get("TIME_SLOT_ID") for slot in root.iter("TIME_SLOT")}
    for one in root.iter("ALIGNABLE_ANNOTATION"):
        assert {one.get("TIME_SLOT_REF1"), one.get("TIME_SLOT_REF2")} <= slots


def test_of_silence_there_are_no_tiers():
    root = ElementTree.fromstring(eaf(Transcript("", (), ()), "a.wav").split("\n", 1)[1])
    assert root.findall("TIER") == []
    assert root.find("LINGUISTIC_TYPE").get("LINGUISTIC_TYPE_ID") == "default-lt"
