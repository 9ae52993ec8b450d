"""EAF: the XML file in which ELAN, the program of field linguists, keeps what is said when.

    time slots   milliseconds, each with a name; an annotation lies between two of them
    tiers        utterances, words, characters, doubts: those that there are, one for each kind

Where: the ELAN Annotation Format, version 3.0 (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from xlsr_ref.text.transcript import Span, Transcript
from xlsr_ref.untrusted import plain

DATE = "1970-01-01T00:00:00+00:00"  # the same alignment gives the same file


def eaf(transcript: Transcript, recording: str, parts: str = "characters") -> str:
    """The content of an .eaf of ``transcript``, whose sound is the file ``recording``; ``parts`` names its letters."""
    root = ElementTree.Element("ANNOTATION_DOCUMENT", AUTHOR="xlsr_ref", DATE=DATE, FORMAT="3.0", VERSION="3.0")
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    name = Path(recording).name
    kind = "audio/x-wav" if os.path.splitext(name)[1].lower() == ".wav" else "audio/*"
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=f"./{name}", RELATIVE_MEDIA_URL=f"./{name}",
                           MIME_TYPE=kind)  # fmt: skip
    order = ElementTree.SubElement(root, "TIME_ORDER")
    letters = [char for char in transcript.chars if char.text.strip()]
    doubts = transcript.check.doubts if transcript.check is not None else ()
    slots = ids = 0
    for tier, spans in (("utterances", transcript.utterances), ("words", transcript.words), (parts, letters),
                        ("doubts", doubts)):  # fmt: skip
        if not spans:
            continue
        row = ElementTree.SubElement(root, "TIER", TIER_ID=tier, LINGUISTIC_TYPE_REF="default-lt")
        for start, end, text in _apart(spans):
            ids += 1
            for time in (start, end):
                slots += 1
                ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slots}", TIME_VALUE=str(time))
            one = ElementTree.SubElement(
                ElementTree.SubElement(row, "ANNOTATION"), "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{ids}", TIME_SLOT_REF1=f"ts{slots - 1}", TIME_SLOT_REF2=f"ts{slots}",
            )  # fmt: skip
            ElementTree.SubElement(one, "ANNOTATION_VALUE").text = plain(" ".join(text.split()))
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true",
                           GRAPHIC_REFERENCES="false")  # fmt: skip
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _apart(spans: Sequence[Span]) -> list[tuple[int, int, str]]:
    """The spans in milliseconds: in order, each longer than nothing, none into the next; ELAN knows no other tier."""
    made: list[tuple[int, int, str]] = []
    reached = 0
    for span in sorted(spans, key=lambda one: one.start):
        start, end = max(round(span.start * 1000), reached), round(span.end * 1000)
        if end > start:
            made.append((start, end, span.text))
            reached = end
    return made
