"""A vocabulary of characters in a SentencePiece file, as Omnilingual ASR has one: `tokenizer.model` beside the weights.

    "ab c"  ↔  a b ▁ c        one piece a character, and ▁ for the space between two words

The blank of CTC is the piece of the config's pad_token_id. Only pieces of one character can be learnt and spelled as
those of a vocab.json are; a file with longer ones, such as ▁the, is refused.
The file is read by the package sentencepiece: pip install sentencepiece.
Where: Kudo & Richardson 2018 (SentencePiece); Omnilingual ASR (Meta, 2025).
"""

from __future__ import annotations

from pathlib import Path

from xlsr_ref.errors import VocabularyError
from xlsr_ref.text.vocabulary import VocabularyFiles
from xlsr_ref.untrusted import brief, shown

FILE = "tokenizer.model"
SPACE = "▁"


def read_sentencepiece(folder: str | Path, blank: int | None) -> VocabularyFiles:
    """What ``folder``/tokenizer.model says, in the terms of the other files; ``blank`` is the id of CTC's blank.

    Raises VocabularyError for what cannot be read, has pieces of several characters, or no piece for the blank.
    """
    path = Path(folder) / FILE
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise VocabularyError(f"{shown(path)} is a SentencePiece vocabulary: pip install sentencepiece") from None
    try:
        pieces = SentencePieceProcessor()
        pieces.LoadFromSerializedProto(path.read_bytes())
    except (OSError, RuntimeError) as problem:
        raise VocabularyError(f"{shown(path)} is no SentencePiece vocabulary: {brief(str(problem))}") from None
    named = {pieces.IdToPiece(i): i for i in range(pieces.GetPieceSize())}
    roles = {piece for piece, i in named.items() if pieces.IsControl(i) or pieces.IsUnknown(i) or pieces.IsUnused(i)}
    roles |= {piece for piece, i in named.items() if i == blank or pieces.IsByte(i)}
    long = [piece for piece in named if len(piece) > 1 and piece not in roles]
    if long:
        raise VocabularyError(
            f"{shown(path)} has pieces of several characters, such as {brief(repr(long[0]))}: only a vocabulary of "
            "characters is implemented"
        )
    blanks = [piece for piece, i in named.items() if i == blank]
    if not blanks:
        raise VocabularyError(f"{shown(path)} has no piece for the blank of CTC, pad_token_id={blank} of config.json")
    unknown = pieces.IdToPiece(pieces.unk_id()) if pieces.unk_id() >= 0 else None
    special = {"pad_token": blanks[0]} | ({"unk_token": unknown} if unknown is not None else {})
    return VocabularyFiles(
        vocabulary=named,
        added={},
        special=special,
        extra_special=tuple(sorted(roles - set(special.values()))),
        stated=frozenset(special.values()),
        word_delimiter=SPACE,
        replace_word_delimiter_char=" ",
        do_lower_case=False,
        clean_up_tokenization_spaces=False,
        split_special_tokens=False,
        phonemes=None,
    )
