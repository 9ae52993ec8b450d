"""The lattice of CTC: where a path may stand at every frame, and the steps it may take.

    l' = − l₁ − l₂ − … −      the targets with a blank (−) around each: 2S + 1 places; target i stands at place 2i + 1
    begin at place 0 or 1;  end at one of the last two
    from one frame to the next:   s → s (stay),   s → s + 1,   s → s + 2 over a blank between two different targets

Each path spells a sequence of tokens, one per frame, and these are exactly the sequences that collapse to the targets
(repeats merged, then blanks dropped). A blank between equal targets cannot be left out: it keeps them two.
losses/ctc.py adds up all paths; text/align.py looks for the likeliest.
Where: Graves et al. 2006, §4.1. Letters: T frames, V tokens, S targets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.unmasked import refuse_masked


def places_of(targets: np.ndarray, blank: int) -> np.ndarray:
    """l' (2S+1,): the token at each place, from the targets (S,)."""
    places = np.full(2 * len(targets) + 1, blank, np.int64)
    places[1::2] = targets
    return places


def may_skip(places: np.ndarray) -> np.ndarray:
    """(2S+1,) bool: may a path come to place s straight from s − 2? Blanks are every other place."""
    skip = np.zeros(len(places), bool)
    skip[3::2] = places[3::2] != places[1:-2:2]
    return skip


def frames_needed(targets: Sequence[int] | np.ndarray) -> int:
    """A frame for each target, and a blank between two equal neighbours: S + the number of such pairs."""
    labels = np.asarray(targets)
    return len(labels) + int((labels[1:] == labels[:-1]).sum())


def too_few(frames: int, targets: np.ndarray) -> str:
    """Why the targets have no path through ``frames`` frames, with the numbers."""
    needed = frames_needed(targets)
    return (
        f"{len(targets)} targets with {needed - len(targets)} equal neighbours need {needed} frames, "
        f"but there are {frames}"
    )


def require_targets(targets: Sequence[int] | np.ndarray, blank: int, tokens: int) -> np.ndarray:
    """The targets (S,) as int64. Raises ObjectiveError unless they are ids below ``tokens`` other than ``blank``."""
    refuse_masked(targets, "targets", ObjectiveError)
    labels = np.asarray(targets)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise ObjectiveError(f"targets must be a row of ids, not {labels.dtype} of shape {labels.shape}")
    if not isinstance(blank, int | np.integer) or not 0 <= blank < tokens:
        raise ObjectiveError(f"the blank is {blank}: it must be an id from 0 to {tokens - 1}")
    wrong = sorted({int(id) for id in labels if id == blank or not 0 <= id < tokens})
    if wrong:
        raise ObjectiveError(f"targets contain {wrong}: ids go from 0 to {tokens - 1}, without the blank {blank}")
    return labels.astype(np.int64)
