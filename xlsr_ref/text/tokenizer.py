"""The CTC tokenizer: text -> ids for training, ids -> text for reading what a network says. One id per character.

    "AB C"  --encode-->  A B | C  -->  [7, 24, 4, 19]               `|` is the word delimiter, written for a space
    [7, 7, 0, 24, 4, 19]  --decode-->  A B | C  -->  "AB C"         repeats merged, then blanks dropped (see greedy.py)

The blank of CTC is the pad token. Tokens of several characters (`<unk>`, phonemes such as `tʃ`) are cut out of a text
before the rest is cut into characters. A special token that no file gives an id is appended after the last one, as
transformers does; a network trained without it has no output for it.

Where the tokens are phonemes, the tokenizer is that of phonemes.py; read_tokenizer.py chooses by a folder's files.
Equal to transformers 5.23's Wav2Vec2CTCTokenizer, oddities included: a delimiter of several characters is cut up
again when a text is encoded, and a delimiter that is null is encoded as the letters of "None". One thing is refused
instead of returned as None: encoding a character that is unknown where vocab.json has no unknown token.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from xlsr_ref.errors import VocabularyError
from xlsr_ref.text.vocabulary import AddedToken, VocabularyFiles

STAR = "*"  # a word of a text to align that stands for anything


class Word(NamedTuple):
    """A word of a text that is laid over a recording."""

    text: str
    tokens: tuple[str, ...]


class Tokenizer:
    """Text to ids and back.

    ``vocabulary``: token -> id, added tokens included. ``tokens``: id -> token. ``pad_id``: the id of the CTC blank
    (None where the files switch the pad token off: then nothing is a blank).
    """

    def __init__(self, files: VocabularyFiles):
        self.files = files
        self.pad_token = files.special.get("pad_token")
        self.unk_token = files.special.get("unk_token")
        self.word_delimiter = files.word_delimiter
        self.special_tokens = frozenset([*files.special.values(), *files.extra_special])

        added = _Added(files)
        self._added_ids, self._added_by_id, self._whole = added.ids, added.by_id, added.whole
        self._prefixes = frozenset(token[:n] for token in self._whole for n in range(1, len(token) + 1))
        self.vocabulary: dict[str, int] = added.vocabulary()
        self.tokens: dict[int, str] = {number: token.content for number, token in added.by_id.items()}
        self.tokens.update({number: token for token, number in files.vocabulary.items()})
        self.pad_id = None if self.pad_token is None else added.ids.get(self.pad_token)

    def __repr__(self) -> str:
        blank = "no blank" if self.pad_id is None else f"blank {self.pad_token!r} = {self.pad_id}"
        return f"{type(self).__name__}({len(self.vocabulary)} tokens, {blank}, word delimiter {self.word_delimiter!r})"

    def check_rows(self, rows: int) -> None:
        """Warn of outputs of a network with ``rows`` outputs that have no token in the files: they are read as unknown.

        Raises VocabularyError where there is no unknown token, or where more than half of the outputs have none.
        """
        stated = {*self.files.vocabulary.values(), *self.files.added}
        stated.update(self._added_ids[token] for token in self.files.stated if token)
        missing = [number for number in range(rows) if number not in stated]
        if missing:
            named = ", ".join(map(str, missing[:10])) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            lacking = f"lm_head has {rows} rows, but the vocabulary has no token for the ids {named}"
            if self.unk_token is None or 2 * len(missing) > rows:
                raise VocabularyError(f"{lacking}: take the vocab.json that the network was trained with")
            warnings.warn(f"{lacking}: they are read as {self.unk_token}", stacklevel=3)

    @property
    def each_is_a_word(self) -> bool:
        """Is every token of a transcript a word? Phonemes are, where nothing stands between words."""
        return False

    # --- ids -> text --------------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], *, group_tokens: bool = True, skip_special_tokens: bool = False) -> str:
        """The text of ``ids``, one per frame. ``group_tokens=False`` for ids that hold no repeats to merge.

        ``skip_special_tokens`` drops blanks and other special tokens *before* repeats are merged, as transformers
        does: double letters then become single ones.
        """
        tokens = [self.token(number) for number in ids]
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in self.special_tokens or token == self._delimiter]
        if group_tokens:
            tokens = [token for token, _ in groupby(tokens)]
        return self.join(token for token in tokens if token != self.pad_token)

    def token(self, number: int) -> str:
        """The token of an id; the unknown token for an id that has none."""
        token = self.tokens.get(int(number), self.unk_token)
        if token is None:
            raise VocabularyError(f"the id {number} has no token, and the vocabulary has no unknown token")
        return token

    def written(self, token: str) -> str:
        """How a token appears in a text: the word delimiter as a space, every other as itself."""
        return self.files.replace_word_delimiter_char if token == self._delimiter else token

    def spelled(self, tokens: Iterable[str]) -> str:
        """How tokens of one word, or a single one, appear in a text."""
        return self.lower("".join(map(self.written, tokens)))

    def divides(self, token: str) -> bool:
        """Does this token stand between words? The delimiter does, and one that is written like it."""
        return self.written(token) == self.files.replace_word_delimiter_char

    def join(self, tokens: Iterable[str]) -> str:
        """The text of tokens that are left when repeats and blanks are gone."""
        text = self.lower("".join(map(self.written, tokens)).strip())
        return clean_up(text) if self.files.clean_up_tokenization_spaces else text

    def lower(self, text: str) -> str:
        """``text`` in lower case where the vocabulary is upper case and the files ask for it."""
        return text.lower() if self.files.do_lower_case else text

    # --- text -> ids --------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``. Raises VocabularyError for an unknown character where there is no unknown token."""
        return [self._id(token) for token in self.tokens_of(text)]

    def tokens_of(self, text: str) -> list[str]:
        """The tokens of ``text``, known or not."""
        pieces = [text] if self.files.split_special_tokens else self._cut(text)
        tokens: list[str] = []
        for piece in pieces:
            whole = piece in self._added_ids and not self.files.split_special_tokens
            tokens += [piece] if whole else self._pieces(piece)
        return tokens

    def id_of(self, token: str) -> int | None:
        """The id of a token; None where the vocabulary has none for it."""
        return self._added_ids.get(token, self.files.vocabulary.get(token))

    def words_of(self, text: str, phonemes: bool = False) -> list[Word]:
        """The words of ``text``, each with its tokens; the delimiters between them are left out. Raises VocabularyError
        for ``phonemes``, which only a vocabulary of phonemes has."""
        if phonemes:
            raise VocabularyError("this model reads characters, not phonemes: give the text itself")
        return [Word(word, tuple(self.tokens_of(word))) for word in text.split()]

    @property
    def delimiter_id(self) -> int | None:
        """The id of the token between two words; None where the vocabulary has no such token."""
        return None if self.word_delimiter is None else self.id_of(self.word_delimiter)

    @property
    def _delimiter(self) -> str:
        return str(self.word_delimiter)  # null becomes "None": see the top of this file

    def _pieces(self, piece: str) -> Sequence[str]:
        return list((piece.upper() if self.files.do_lower_case else piece).replace(" ", self._delimiter))

    def _id(self, token: str) -> int:
        number = self.id_of(token)
        if number is None and self.unk_token is not None:
            number = self.files.vocabulary.get(self.unk_token)
        if number is None:
            raise VocabularyError(f"{token!r} is not in the vocabulary, which has no unknown token either")
        return number

    def _cut(self, text: str) -> list[str]:
        """``text`` cut around the added tokens, and the white space that they swallow taken off."""
        pieces = _split(text, self._whole, self._prefixes)
        for i, piece in enumerate(pieces):
            if piece not in self._added_ids:
                continue
            token = self._added_by_id[self._added_ids[piece]]
            left = pieces[i - 1] if i > 0 else ""
            right = pieces[i + 1] if i + 1 < len(pieces) else ""
            if token.rstrip and right:
                pieces[i + 1] = right.lstrip()
            if token.lstrip and left:
                pieces[i - 1] = left.rstrip()
            if token.single_word and left and left[-1] != " ":  # inside a word: no token after all
                pieces[i - 1], pieces[i] = pieces[i - 1] + piece, ""
            elif token.single_word and right and right[0] != " ":
                pieces[i], pieces[i + 1] = "", piece + pieces[i + 1]
        return pieces


class _Added:
    """The added tokens, and how they come by their ids.

    They are: those that the files list; special tokens that the files do not list; and, unless tokens are phonemes,
    every token of vocab.json that has several characters, which swallows the white space around it. One that has no id
    yet gets the next one, counted by the number of tokens: where vocab.json has gaps, that id can be taken. Then
    decoding prefers vocab.json.
    """

    def __init__(self, files: VocabularyFiles):
        self.base = files.vocabulary
        self.by_id: dict[int, AddedToken] = dict(files.added)
        self.ids: dict[str, int] = {token.content: number for number, token in files.added.items()}
        known = self.vocabulary()
        for content in dict.fromkeys([*files.special.values(), *files.extra_special]):
            if content and content not in self.ids:
                self._put(AddedToken(content), known.setdefault(content, len(known)))
        self.whole: set[str] = {token.content for token in self.by_id.values()}
        for content in self.base:
            if len(content) > 1 and files.phonemes is None:
                self._put(AddedToken(content, lstrip=True, rstrip=True), self._id(content))
                self.whole.add(content)
        self.whole.discard("")

    def _id(self, content: str) -> int:
        """The id of a token of vocab.json: that of its added namesake, unless another token has taken it since."""
        number = self.ids.get(content, self.base[content])
        return number if number in self.by_id and self.by_id[number].content == content else self.base[content]

    def _put(self, token: AddedToken, number: int) -> None:
        self.by_id[number] = token
        self.ids[token.content] = number

    def vocabulary(self) -> dict[str, int]:
        """Token -> id over vocab.json and the added tokens; where they differ, the added tokens are right."""
        return self.base | {token.content: number for number, token in sorted(self.by_id.items())}


def _split(text: str, tokens: set[str], prefixes: frozenset[str]) -> list[str]:
    """Cut ``text`` around the ``tokens`` in it: the one that starts first wins, then the longest."""
    pieces, begin = [], 0
    while (match := _next_match(text, begin, tokens, prefixes)) is not None:
        start, end = match
        pieces += [text[begin:start], text[start:end]]
        begin = end
    return [piece for piece in [*pieces, text[begin:]] if piece]


def _next_match(text: str, begin: int, tokens: set[str], prefixes: frozenset[str]) -> tuple[int, int] | None:
    """Start and end of the next token in ``text[begin:]``; ``prefixes`` are those of all tokens."""
    starts: list[int] = []  # where tokens may be under way, first start first
    for here in range(begin + 1, len(text) + 1):
        starts = [start for start in [*starts, here - 1] if text[start:here] in prefixes]
        finished = next((start for start in starts if text[start:here] in tokens), None)
        if finished is None:
            continue
        for start in starts:
            if start == finished:
                return start, _longest(text[start:here], text, here, tokens, prefixes) or here
            # Started earlier and still unfinished. transformers steps over text[here] even where no token goes on
            # with it; what it cuts out then is no token and falls apart into characters.
            step = text[start : here + 1]
            path = step if step in prefixes else text[start:here]
            end = _longest(path, text, here + 1, tokens, prefixes)
            if end is not None:
                return start, end
    return None


def _longest(path: str, text: str, end: int, tokens: set[str], prefixes: frozenset[str]) -> int | None:
    """Follow ``text[end:]`` as long as some token begins with ``path``; where the last finished token ended."""
    finished_at = end if path in tokens else None
    while end < len(text) and path + text[end] in prefixes:
        path += text[end]
        end += 1
        finished_at = end if path in tokens else finished_at
    return finished_at


def clean_up(text: str) -> str:
    """Take out the spaces that word-piece tokenizers leave before punctuation and English endings."""
    for spaced in (" .", " ?", " !", " ,"):
        text = text.replace(spaced, spaced[1:])
    text = text.replace(" ' ", "'")
    for spaced in (" n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced[1:])
    return text
