"""Labels: what each column of the scores writes. The search over texts needs no more of a vocabulary than this.

A label is one entry of the vocabulary: a character, several (`tʃ`, `sch`), the blank that writes nothing, or a space,
which ends a word. The blank is the tokenizer's pad token, and a space is every token that is written as one.
Letters: V labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import DecodingError
from xlsr_ref.text.tokenizer import Tokenizer


class Labels(NamedTuple):
    """What each column of the scores writes."""

    written: tuple[str, ...]  # (V,)  the characters of each, as they stand in a word; "" for the blank, " " for a space
    blank: int
    space: np.ndarray  # (V,) bool

    @property
    def unambiguous(self) -> bool:
        """Is a text written by one row of labels only?"""
        return len({*self.written}) == len(self.written) and max(map(len, self.written)) <= 1


def make_labels(written: Sequence[str], blank: int = 0) -> Labels:
    """Labels from their texts: " " is a space, and that of ``blank`` does not matter. Raises DecodingError."""
    if not 0 <= blank < len(written):
        raise DecodingError(f"the blank is {blank}, but there are labels from 0 to {len(written) - 1}")
    texts = tuple("" if id == blank else text for id, text in enumerate(written))
    empty = [id for id, text in enumerate(texts) if not text and id != blank]
    if empty:
        raise DecodingError(f"label {empty[0]} writes nothing, and only the blank, {blank}, may")
    return Labels(texts, blank, np.array([text == " " for text in texts]))


def labels_of(tokenizer: Tokenizer, columns: int) -> Labels:
    """The labels of the first ``columns`` ids of a tokenizer, whose pad token is the blank.

    An id without a token is read as the unknown token, as greedy decoding reads it.
    Raises DecodingError where the blank is missing, or a column's token where there is no unknown token.
    """
    if tokenizer.pad_id is None or tokenizer.pad_id >= columns:
        raise DecodingError("the vocabulary has no pad token among the scores' columns: it is the blank of the search")
    missing = [id for id in range(columns) if id not in tokenizer.tokens]
    if missing and tokenizer.unk_token is None:
        raise DecodingError(
            f"the scores have {columns} columns, but the vocabulary has no token {missing[0]}: they do not fit together"
        )
    space = tokenizer.files.replace_word_delimiter_char
    tokens = [tokenizer.token(id) for id in range(columns)]
    spaces = np.array([tokenizer.written(token) == space for token in tokens])
    spaces[tokenizer.pad_id] = False
    written = [" " if is_space else tokenizer.lower(token) for token, is_space in zip(tokens, spaces)]
    written[tokenizer.pad_id] = ""
    return Labels(tuple(written), tokenizer.pad_id, spaces)
