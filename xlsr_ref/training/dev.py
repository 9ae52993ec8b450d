"""The error rates on the dev split, whose clips are not learnt from, by greedy decoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.model.model import Model
from xlsr_ref.model.report import LoadReport
from xlsr_ref.ops.tree import nest
from xlsr_ref.text.metrics import added, character_errors, word_errors
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.training.start import Start
from xlsr_ref.training.step import frames_of


class DevErrors(NamedTuple):
    """Edits per character, and per word, of the texts of each group."""

    characters: dict[str, float]
    words: dict[str, float]

    @property
    def mean(self) -> float:
        """Of the characters, over the groups: what chooses the best checkpoint."""
        return sum(self.characters.values()) / len(self.characters)

    def of(self, groups: Iterable[str]) -> DevErrors:
        """Those of some groups alone."""
        some = list(groups)
        return DevErrors({name: self.characters[name] for name in some}, {name: self.words[name] for name in some})


def errors_on(
    groups: dict[str, list[Clip]], sounds: Sequence[np.ndarray], start: Start, tokenizer: Tokenizer
) -> DevErrors:
    """The error rates of each group. ``sounds`` (L,) are all groups' waveforms, in their order.

    The transcript of one that is too short for a frame is empty.
    """
    report = LoadReport.of_arrays(start.params, f"{start.config.family}ForCTC")
    model = Model(start.config, nest(start.params), start.preprocessor, tokenizer, report)
    long_enough = [x for x in sounds if frames_of(len(x), start.config)]
    transcripts = iter(model.transcribe(long_enough, start.preprocessor.sampling_rate))
    texts = (next(transcripts).text if frames_of(len(x), start.config) else "" for x in sounds)
    errors = DevErrors({}, {})
    for group, clips in groups.items():
        pairs = [(clip.text, next(texts)) for clip in clips]
        errors.characters[group] = added(character_errors(said, read) for said, read in pairs).rate
        errors.words[group] = added(word_errors(said, read) for said, read in pairs).rate
    return errors
