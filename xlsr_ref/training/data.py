"""From a corpus to batches: which clips a step learns from, as a function of the recipe's seed and the epoch alone.

An epoch draws languages by p_l ∝ (n_l / N)^alpha: at alpha = 1 every clip comes once, below it small languages come
more often. Clips of about one length go into one batch, of at most so many seconds, so that the cores finish together.
Where: XLSR §3 ("Multilingual sampling"), with n_l the clips of language l here (hours there).
Letters: l a language, n_l its clips, N all clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.audio.segment import read_clip
from xlsr_ref.errors import TrainingError
from xlsr_ref.text.preparation import Preparation
from xlsr_ref.training.sources import prepared_corpus, summary
from xlsr_ref.untrusted import listed, shown

IN_MEMORY = 2**30  # bytes of decoded sound that are kept; what goes beyond is read again each time
JITTER = 0.5  # seconds: clips of nearly one length change places from epoch to epoch


def read_clips(
    corpus: Path,
    manifests: Sequence[str],
    text: Preparation | None = None,
    tiers: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    languages: Sequence[str] = (),
) -> dict[str, list[Clip]]:
    """The clips of each of the ``manifests``, which stand in ``corpus``; without any, of ``corpus`` itself.

    Each may be any source that audio/corpus reads; where ``languages`` are named, their clips alone are given. Without
    ``text`` no texts are wanted. ``say`` is told what was left out and what is odd. Raises TrainingError and
    ManifestError.
    """
    if not manifests:
        if not corpus.exists():
            raise TrainingError(f"{corpus} is not there: give the corpus with --data or XLSR_REF_CORPUS")
        sources = {corpus.resolve().stem: corpus}
    elif not corpus.is_dir():
        raise TrainingError(f"{corpus} is not a folder: give that of the corpus with --data or XLSR_REF_CORPUS")
    else:
        stems = [Path(name).stem for name in manifests]
        twice = [stem for stem in stems if stems.count(stem) > 1]
        if twice:
            raise TrainingError(f"data.manifests and data.unheard name {twice[0]!r} twice: name each list once")
        missing = [name for name in manifests if not (corpus / name).exists()]
        if missing:
            raise TrainingError(
                f"{listed(missing)} is missing in {shown(corpus)}: the recipe names it, so put it there"
            )
        sources = {stem: corpus / name for stem, name in zip(stems, manifests)}
    clips = {}
    for stem, source in sources.items():
        found = prepared_corpus(source, text, tiers)
        wanted = [clip for clip in found.clips if not languages or clip.lang in languages]
        clips[stem] = [clip if clip.split else clip._replace(split="train") for clip in wanted]
        for note in found.notes:
            say(note if note.startswith("text: ") else f"warning: {stem}: {note}")
        if found.left_out:
            say(f"warning: {stem}: {summary(found.left_out)}")
    return clips


def require_disjoint(train: Sequence[Clip], unheard: Sequence[Clip]) -> None:
    """Raise TrainingError if a speaker of ``unheard`` is learnt from."""
    both = sorted({clip.speaker for clip in train} & {clip.speaker for clip in unheard})
    if both:
        raise TrainingError(
            f"the speakers {listed(both)} are in data.unheard and are learnt from, too: take them out of one of the two"
        )


def require_apart(train: Sequence[Clip], others: Sequence[Clip]) -> None:
    """Raise TrainingError if a clip of ``others``, which are checked with, is learnt from by another list."""
    learnt = {clip.stretch for clip in train}
    both = [shown(clip.path) for clip in others if clip.stretch in learnt]
    if both:
        raise TrainingError(
            f"{listed(both, 3)}: learnt from by one list and checked with by another: take it out of one of the two"
        )


def require_every_language(train: Sequence[Clip], others: Sequence[Clip], languages: Sequence[str]) -> None:
    """Raise TrainingError if a language that is named, or checked in ``others``, has no clip to learn from."""
    lacking = sorted(({clip.lang for clip in others} | set(languages)) - {clip.lang for clip in train})
    if lacking:
        raise TrainingError(
            f"no clip is there to learn {listed(lacking)} from: leave it out with data.languages, or add clips"
        )


def repeated(by_manifest: Mapping[str, Sequence[Clip]], repeat: Mapping[str, int]) -> dict[Path, int]:
    """How often an epoch takes each clip of the lists that ``repeat`` names; a clip of another list comes once."""
    return {clip.path: n for name, n in repeat.items() for clip in by_manifest[Path(name).stem]}


def batches(
    clips: Sequence[Clip], usable: Sequence[int], batch_seconds: float, alpha: float, rng: np.random.Generator
) -> list[list[int]]:
    """One epoch: numbers of ``clips``, out of ``usable``, in batches of at most ``batch_seconds``, in random order."""
    drawn = _by_language(clips, usable, alpha, rng)
    lengths = np.array([clips[i].seconds for i in drawn])
    order = np.argsort(lengths + rng.random(len(drawn)) * JITTER, kind="stable")
    packed: list[list[int]] = []
    left = 0.0  # seconds that still fit into the last batch
    for i in order:
        if not packed or lengths[i] > left:
            packed.append([])
            left = batch_seconds
        packed[-1].append(drawn[i])
        left -= lengths[i]
    return [packed[i] for i in rng.permutation(len(packed))]


def _by_language(clips: Sequence[Clip], usable: Sequence[int], alpha: float, rng: np.random.Generator) -> list[int]:
    """As many clips as are usable, of each language its share; each clip before any clip a second time."""
    counts = Counter(clips[i].lang for i in usable)
    weights = {lang: (n / len(usable)) ** alpha for lang, n in sorted(counts.items())}
    total = sum(weights.values())
    drawn: list[int] = []
    for lang, weight in weights.items():
        own = [i for i in usable if clips[i].lang == lang]
        wanted = round(len(usable) * weight / total)
        rounds = [rng.permutation(own) for _ in range(-(-wanted // len(own)))]
        drawn += [int(i) for i in np.concatenate(rounds)[:wanted]] if wanted else []
    return drawn


def unknown_characters(clips: Sequence[Clip], known: Callable[[str], bool]) -> Counter[str]:
    """The characters of the texts that are not ``known``, and how often each stands there."""
    return Counter(letter for clip in clips for letter in clip.text if not known(letter))


class Sounds:
    """The waveforms of clips at ``rate`` Hz, in ``dtype``: read when asked for, and kept up to IN_MEMORY."""

    def __init__(self, clips: Sequence[Clip], rate: int, dtype: str) -> None:
        self.clips, self.rate, self.dtype = clips, rate, dtype
        self._kept: dict[int, np.ndarray] = {}
        self._bytes = 0

    def __getitem__(self, i: int) -> np.ndarray:
        if i in self._kept:
            return self._kept[i]
        waveform = read_clip(self.clips[i], self.rate, self.dtype)
        if self._bytes + waveform.nbytes <= IN_MEMORY:
            self._kept[i] = waveform
            self._bytes += waveform.nbytes
        return waveform
