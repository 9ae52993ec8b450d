"""The tokenizer of networks that transcribe to phonemes, the sounds of speech, in place of letters. One id per phoneme.

    "h ə l oʊ"  --encode-->  h ə l oʊ  -->  [6, 4, 11, 23]      phonemes are written with spaces between them
    [6, 6, 0, 4]  --decode-->  h ə  -->  "h ə"                  repeats merged, then blanks and word delimiters dropped
    "hello"  --phonemizer-->  "h ə l oʊ"  --encode-->  …        where the package phonemizer and espeak-ng are installed

The phonemes are those that espeak-ng writes, in the International Phonetic Alphabet, and a network knows the ones of
its vocabulary. Decoding needs neither package. Where the files name a word delimiter, it stands between words.
Equal to transformers 5.23's Wav2Vec2PhonemeCTCTokenizer, but for decoding no ids at all: "" here, an error there.
Where: Xu, Baevski and Auli 2021, "Simple and effective zero-shot cross-lingual phoneme recognition" (2109.11680).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from xlsr_ref.errors import VocabularyError
from xlsr_ref.text.tokenizer import STAR, Tokenizer, Word, clean_up
from xlsr_ref.text.vocabulary import PhonemeOptions, VocabularyFiles

BETWEEN = "|"  # stands between words in phonemes that are typed in, where the vocabulary has no delimiter
MARK = "\x1f"  # stands between words in what phonemizer gives; no phoneme has this character


class PhonemeTokenizer(Tokenizer):
    """Text or phonemes to ids, and ids to phonemes."""

    def __init__(self, files: VocabularyFiles):
        if files.phonemes is None:
            raise VocabularyError("the files ask for no phonemes: take the Tokenizer")
        super().__init__(files)
        self.options: PhonemeOptions = files.phonemes
        self.tokens.update({number: token.content for number, token in self._added_by_id.items()})
        self._special_ids = {self.id_of(token) for token in self.special_tokens}

    @property
    def each_is_a_word(self) -> bool:
        return self.word_delimiter is None

    # --- ids -> phonemes ----------------------------------------------------------------------------------------------

    def decode(
        self,
        ids: Iterable[int],
        *,
        group_tokens: bool = True,
        skip_special_tokens: bool = False,
        filter_word_delimiter_token: bool = True,
    ) -> str:
        """The phonemes of ``ids``, one per frame, with spaces between them. The arguments are those of
        :meth:`Tokenizer.decode`; without ``filter_word_delimiter_token`` the delimiters between words stay, as well."""
        numbers = [int(number) for number in ids]
        tokens = [self.token(number) for number in numbers if not (skip_special_tokens and number in self._special_ids)]
        if group_tokens:
            tokens = [token for token, _ in groupby(tokens)]
        kept = [token for token in tokens if token != self.pad_token]
        return self.join(kept) if filter_word_delimiter_token else self._tidied(" ".join(kept))

    def written(self, token: str) -> str:
        return " " if self.divides(token) else token

    def spelled(self, tokens: Iterable[str]) -> str:
        return " ".join(map(self.written, tokens))

    def divides(self, token: str) -> bool:
        return token == self.word_delimiter  # never, where there is none

    def join(self, tokens: Iterable[str]) -> str:
        return self._tidied(" ".join(token for token in tokens if not self.divides(token)))

    def _tidied(self, text: str) -> str:
        return clean_up(text.strip()) if self.files.clean_up_tokenization_spaces else text.strip()

    def lower(self, text: str) -> str:
        return text

    # --- text or phonemes -> ids --------------------------------------------------------------------------------------

    def words_of(self, text: str, phonemes: bool = False) -> list[Word]:
        """The words of ``text``, each with its phonemes; from a text by phonemizer, unless the files say that texts are
        phonemes or ``phonemes`` says that this one is.

        In phonemes that are given, words end at the word delimiter or, where the files name none, at a "|"; without
        any, each phoneme is a word. Raises VocabularyError where phonemizer is needed and does not work.
        """
        if phonemes or not self.options.from_text:
            mark = self.word_delimiter or (MARK if BETWEEN in self.vocabulary else BETWEEN)
            groups = [tuple(group) for is_mark, group in groupby(text.split(), lambda one: one == mark) if not is_mark]
            if len(groups) == 1 and self.each_is_a_word:
                groups = [(phoneme,) for phoneme in groups[0]]
            return [Word(" ".join(group), group) for group in groups]
        words: list[Word] = []
        for wild, part in groupby(text.split(), lambda one: one == STAR):
            together = list(part)
            words += [Word(STAR, (STAR,))] * len(together) if wild else self._spoken(together)
        return words

    def _spoken(self, written: list[str]) -> list[Word]:
        """Words and their phonemes. They are spoken together: a word's sounds depend on its neighbours."""
        phonemes = phonemize(" ".join(written).lower(), self.options, f"{MARK} ").split(MARK)
        spoken = [tuple(word.split()) for word in phonemes if word.strip()]
        if len(spoken) == len(written):  # not so where a number becomes several words
            return [Word(word, tokens) for word, tokens in zip(written, spoken)]
        return [Word(" ".join(tokens), tokens) for tokens in spoken]

    def _pieces(self, piece: str) -> Sequence[str]:
        piece = piece.strip()
        if self.options.from_text:
            between = "" if self.word_delimiter is None else f"{self.word_delimiter} "
            piece = phonemize(piece.lower(), self.options, between)
        return [phoneme for phoneme in piece.split(" ") if phoneme.strip()]


def phonemize(text: str, options: PhonemeOptions, between: str = "") -> str:
    """The phonemes of ``text``, with ``between`` after each word. Raises VocabularyError without phonemizer, and with
    what phonemizer itself complains about."""
    try:
        from phonemizer.separator import Separator

        backend = _backend(options.backend, options.language)
        separator = Separator(phone=options.delimiter, word=between, syllable="")
        return backend.phonemize([text], separator=separator)[0].strip() if text else ""
    except ImportError:
        raise VocabularyError(
            "this model transcribes to phonemes, and turning a text into them needs phonemizer: pip install "
            '"xlsr_ref[phonemes]" and install espeak-ng, or give the phonemes themselves'
        ) from None
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        needed = "espeak-ng" if "espeak" in options.backend else options.backend
        raise VocabularyError(
            f"phonemizer makes no phonemes of {options.language!r} ({' '.join(str(error).split())}): "
            f"see that {needed} is installed and knows the language, or give the phonemes themselves"
        ) from None


@lru_cache(maxsize=4)
def _backend(name: str, language: str) -> Any:
    """phonemizer's own, which takes a while to start."""
    from phonemizer.backend import BACKENDS

    switches = {"language_switch": "remove-flags"} if name == "espeak" else {}
    return BACKENDS[name](language, **switches)
