"""Corpora as people have them, behind one function. This file is the front of the folder.

from xlsr_ref.audio.corpus import open_corpus
corpus = open_corpus("cv-corpus/fy-NL")        # clips, what was left out and why, and what its user should know

corpus.py        which layout it is; every clip compared with its recording
entry.py         what a list says of a clip, before that
table.py         tables by tabs or commas, and JSON lines
folders.py       Common Voice, LibriSpeech, audiofolders, Kaldi, recordings beside texts
annotation.py    TextGrid and .eaf, cut by a tier
"""

from xlsr_ref.audio.corpus.corpus import Corpus, LeftOut, Measure, notes_on_texts, open_corpus

__all__ = ["Corpus", "LeftOut", "Measure", "notes_on_texts", "open_corpus"]
