"""KenLM's binary models, through the `kenlm` package (the extra `[lm]`). What it answers is what lm.py would.

The binary form is KenLM's own memory, laid out for speed; reading it needs KenLM itself. It cannot be asked by compiled
loops, so the search stops at every word end and asks from Python: slower than an ARPA file, which needs no package.
The words stand at the end of the file, `<unk>` first and a zero byte after each, unless it was built without them:
then `unigrams.txt` beside it can list them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search.lm import END
from xlsr_ref.text.search.spelling import sample

FIRST_WORD, VOCABULARY = b"<unk>\0", 2**26  # bytes at the file's end that are searched for the words


def words_in(path: str | Path) -> tuple[str, ...]:
    """Words of the binary model in the file ``path``, from all over its vocabulary; () where it does not list them."""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - VOCABULARY))
        _, first, rest = file.read().rpartition(FIRST_WORD)
    if not first or not rest.endswith(b"\0"):
        return ()
    try:
        return tuple(sample(rest[:-1].decode("utf-8").split("\0")))
    except UnicodeDecodeError:  # the bytes of <unk> among the numbers
        return ()


class KenLM:
    """A binary model; it answers like lm.LanguageModel, with KenLM's states."""

    def __init__(self, path: str | Path) -> None:
        """Open the model in the file ``path``. Raises LanguageModelError."""
        try:
            import kenlm
        except ImportError:
            raise LanguageModelError(
                f"{Path(path).name} is a KenLM binary, which the kenlm package reads: pip install kenlm, or give the "
                "model as an ARPA file"
            ) from None
        config = kenlm.Config()
        config.show_progress = False
        try:
            self._model = kenlm.Model(str(path), config)
        except (OSError, RuntimeError) as error:
            raise LanguageModelError(
                f"{path} cannot be read as a language model: {' '.join(str(error).split())}"
            ) from None
        self._new: Any = kenlm.State
        self.order: int = self._model.order
        self.words = words_in(path)
        self.begin, self.nothing = self._new(), self._new()
        self._model.BeginSentenceWrite(self.begin)
        self._model.NullContextWrite(self.nothing)

    def score(self, state: Any, word: str) -> tuple[float, Any, bool]:
        """log10 p of ``word`` in ``state``, the state after it, and whether the model knows the word."""
        after = self._new()
        return self._model.BaseScore(state, word, after), after, word in self._model

    def end_score(self, state: Any) -> float:
        """log10 p of the sentence's end in ``state``."""
        return self._model.BaseScore(state, END, self._new())
