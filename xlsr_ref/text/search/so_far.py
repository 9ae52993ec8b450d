"""A text that grows with its frames: the best path or a beam search, fed piece by piece, and what of it is final.

    best path     the tokens of frames that were decoded never change
    beam search   every prefix in the beam begins with the same labels: their lowest common ancestor in the tree
    final         of these, the words that are finished; all tokens where nothing stands between words

A text that is final is a beginning of every later one. The text so far may also hold frames that will be computed again
with more context: `ahead`. They are decoded and forgotten. Letters: T frames, V tokens.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.greedy import best_path, collapse, spell
from xlsr_ref.text.search.beam import feed, start
from xlsr_ref.text.search.hypotheses import hypotheses
from xlsr_ref.text.search.nbest import transcript_of
from xlsr_ref.text.search.prefix_tree import chain
from xlsr_ref.text.search.state import Search
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.transcript import Transcript


class Decoder(Protocol):
    """Logits in, piece by piece; texts out."""

    def add(self, logits: np.ndarray) -> None:
        """The next frames (T, V). Raises CannotTranscribeError or DecodingError for what no text can be read from."""

    def text(self, ahead: np.ndarray | None) -> str:
        """The text so far, with the frames (T, V) that are only ``ahead``."""

    def final(self) -> str:
        """The beginning of the text that no further frame changes."""

    def transcript(self, seconds: float, seconds_per_frame: float, nbest: int) -> Transcript:
        """What was said, when no more frames come."""


class PathSoFar:
    """The best path; see greedy.py."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokens: list[str] = []  # that are written
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []  # of best_path
        self._frames, self._last = 0, tokenizer.pad_token or ""

    def add(self, logits: np.ndarray) -> None:
        """See Decoder."""
        self._parts.append(best_path(logits, self._frames))
        self._frames += len(logits)
        self.tokens += self._written(self._parts[-1][0])
        self._last = self.tokenizer.token(self._parts[-1][0][-1])

    def text(self, ahead: np.ndarray | None) -> str:
        """See Decoder."""
        more = [] if ahead is None else self._written(best_path(ahead, self._frames)[0])
        return self.tokenizer.join([*self.tokens, *more])

    def final(self) -> str:
        """See Decoder."""
        return finished(self.tokens, self.tokenizer)

    def transcript(self, seconds: float, seconds_per_frame: float, nbest: int) -> Transcript:
        """See Decoder."""
        best, probability = map(np.concatenate, zip(*self._parts))
        return spell(best, probability, self.tokenizer, seconds_per_frame, seconds)

    def _written(self, best: np.ndarray) -> list[str]:
        """The tokens that further frames (T,) write: one that goes on from the last frame writes nothing new."""
        runs = collapse([self._last, *(self.tokenizer.token(entry) for entry in best)], self.tokenizer.pad_token)
        return [run.token for run in runs if run.first > 0]


class SearchSoFar:
    """A beam search; see beam.py."""

    def __init__(self, search: Search, tokenizer: Tokenizer) -> None:
        self.search, self.tokenizer, self.state = search, tokenizer, start(search)

    def add(self, logits: np.ndarray) -> None:
        """See Decoder."""
        self.state = feed(self.search, self.state, log_softmax(logits))

    def text(self, ahead: np.ndarray | None) -> str:
        """See Decoder."""
        state = self.state if ahead is None else feed(self.search, self.state, log_softmax(ahead))
        best = hypotheses(self.search, state, final=False)[0]
        return self.tokenizer.join([self.tokenizer.token(mark.label) for mark in best.marks])

    def final(self) -> str:
        """See Decoder."""
        prefixes = self.state.prefixes
        open_ends = set(self.state.beams.prefix.tolist())
        while len(open_ends) > 1:  # a prefix has a higher number than its parent
            last = max(open_ends)
            open_ends.remove(last)
            open_ends.add(int(prefixes.parent[last]))
        labels = prefixes.label[chain(open_ends.pop(), prefixes.parent)[1:]].tolist()
        return finished([self.tokenizer.token(label) for label in labels], self.tokenizer)

    def transcript(self, seconds: float, seconds_per_frame: float, nbest: int) -> Transcript:
        """See Decoder."""
        best = hypotheses(self.search, self.state, nbest)
        return transcript_of(best, self.search.labels, self.tokenizer, seconds_per_frame, seconds)


def finished(tokens: list[str], tokenizer: Tokenizer) -> str:
    """The text of the words among ``tokens`` that are finished: a token that stands between words follows."""
    if any(tokenizer.divides(token) for token in tokenizer.vocabulary):
        ends = [i for i, token in enumerate(tokens) if tokenizer.divides(token)]
        tokens = tokens[: ends[-1]] if ends else []
    text = tokenizer.join(tokens)
    if tokenizer.files.clean_up_tokenization_spaces:  # what follows may take a space away: "a ' b" is joined as "a'b"
        text = text.rpartition(" ")[0]
    return text
