"""How well does it write by now? The character error rate on clips that are not learnt from, greedy decoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlsr_ref.manifest import Clip
from xlsr_ref.model import Model
from xlsr_ref.params import PARAMETRIZED, LoadReport, nest
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.training.start import Start


def errors_on(
    groups: dict[str, list[Clip]], sounds: Sequence[np.ndarray], start: Start, tokenizer: Tokenizer
) -> dict[str, float]:
    """Edits per character of the texts of each group. ``sounds`` (L,) are all groups' waveforms, in their order."""
    size = sum(array.size for array in start.params.values())
    dtype = next(iter(start.params.values())).dtype.name
    spelling = "wav2vec2.", PARAMETRIZED
    report = LoadReport((), "Wav2Vec2ForCTC", *spelling, len(start.params), size, (), dtype, 0, 0, (), ())
    model = Model(start.config, nest(start.params), start.preprocessor, tokenizer, report)
    heard = iter(model.transcribe(sounds, start.preprocessor.sampling_rate))
    errors: dict[str, float] = {}
    for group, clips in groups.items():
        edits = sum(edit_distance(next(heard).text, clip.text) for clip in clips)
        errors[group] = edits / sum(len(clip.text) for clip in clips)
    return errors


def edit_distance(a: str, b: str) -> int:
    """The fewest characters to put in, take out or replace that make ``b`` of ``a`` (Levenshtein 1966)."""
    row = list(range(len(b) + 1))  # row[j]: edits from what was read of a to b[:j]
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
