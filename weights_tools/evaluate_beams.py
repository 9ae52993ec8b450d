"""Error of the bundled model decoded in three ways: greedy, with a beam, with a beam and a language model.

    python -m weights_tools.evaluate_beams CORPUS_FOLDER [--split test] [--alpha 0.5] [--beta 1.5] [--order 3]

For each language a 3-gram of words is trained on the transcripts of the train split, each once. Rates are those of
evaluate_model: characters, and in brackets words. Every clip goes through the network once.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from weights_tools.compare_beams import sentences_of
from weights_tools.evaluate_model import Counts, clips_of, counts_of

WAYS = ("greedy", "beam", "beam + model")


def evaluate(
    corpus: Path, split: str = "test", order: int = 3, alpha: float = 0.5, beta: float = 1.5
) -> Iterator[tuple[tuple[str, str], dict[str, Counts]]]:
    """The errors of each way, for each part and language of a corpus."""
    import xlsr_ref
    from xlsr_ref import audio
    from xlsr_ref.ops.softmax import log_softmax
    from xlsr_ref.text.greedy import greedy
    from xlsr_ref.text.search.beam import beam_search
    from xlsr_ref.text.search.kneser_ney import train
    from xlsr_ref.text.search.lm import build

    model = xlsr_ref.load()
    assert model.tokenizer is not None
    rate = model.preprocessor.sampling_rate
    alone, with_lm = model.search(100), {}
    totals: dict[tuple[str, str], dict[str, Counts]] = {}
    for (part, language, _), row in clips_of(corpus, [split]):
        if language not in with_lm:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # little text: fixed discounts
                lm = build(train(sentences_of(corpus, language), order))
            with_lm[language] = model.search(100, lm, alpha=alpha, beta=beta)
        logits = model.logits(np.concatenate(list(audio.pieces(corpus / row["path"], rate, model.dtype))), rate)
        read = {
            "greedy": greedy(logits, model.tokenizer, model.seconds_per_frame).text,
            "beam": beam_search(log_softmax(logits), alone)[0].text,
            "beam + model": beam_search(log_softmax(logits), with_lm[language])[0].text,
        }
        so_far = totals.setdefault((part, language), dict.fromkeys(WAYS, Counts()))
        for way, text in read.items():
            so_far[way] = so_far[way].plus(counts_of(text, row["text"]))
    yield from totals.items()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--beta", type=float, default=1.5)
    given = parser.parse_args()
    print("| part | language | clips | " + " | ".join(WAYS) + " |\n|---|---|---|---|---|---|")
    for (part, language), errors in evaluate(given.corpus, given.split, given.order, given.alpha, given.beta):
        rates = [f"{100 * one.characters.rate:.1f} % ({100 * one.words.rate:.1f} %)" for one in errors.values()]
        print(f"| {part} | {language} | {errors['greedy'].clips} | " + " | ".join(rates) + " |")


if __name__ == "__main__":
    main()
