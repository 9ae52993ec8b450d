"""The bundled language model: an 8-gram of characters from the telephone prompts' train texts, and from a book.

    python -m weights_tools.bundle_lm CORPUS_FOLDER [--target xlsr_ref/data/small-ctc-lm]
    python -m weights_tools.bundle_lm CORPUS_FOLDER --tune          error on the dev split for each α and β, and no file

CORPUS_FOLDER holds `asterisk.tsv` and `handbook-texts.tsv`, as weights_tools.build_corpus makes them. All five
languages are in one model, since nothing tells the network which one it hears. Each text counts once a language, and a
prompt PROMPTS times, for prompts are what the network was made for. n-grams that occur seldom are left out. It is a
model of characters: of the words of new prompts an eighth are in no train text, and a model of words would forbid
them. `--tune` decodes the dev split and says what each setting gives; ALPHA and BETA below have the
smallest sum of wrong words and wrong characters there. The test split is not read. The same corpus gives the same
bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from weights_tools.evaluate_model import Counts, counts_of
from xlsr_ref.files import write_whole
from xlsr_ref.text.search.arpa import Arpa, write_arpa
from xlsr_ref.text.search.kneser_ney import train

BUNDLED = Path(__file__).resolve().parent.parent / "xlsr_ref" / "data" / "small-ctc-lm"
ORDER, ALPHA, BETA = 8, 1.0, 3.0
PROMPTS, PRUNE, DIGITS = 20, (0, 0, 0, 2, 5, 9, 12, 15), 4
LISTS = {"asterisk.tsv": PROMPTS, "handbook-texts.tsv": 1}
ALPHAS, BETAS = (0.8, 1.0, 1.2, 1.4), (2.0, 2.5, 3.0, 3.5)
LIMIT = 2_000_000  # bytes


def rows_of(corpus: Path, split: str, name: str = "asterisk.tsv") -> list[dict[str, str]]:
    """The rows of a split in a list. Raises OSError, and ValueError where there is none."""
    with open(corpus / name, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["split"] == split]
    if not rows:
        raise ValueError(f"{corpus / name} has no text of the split {split}: give the list with all splits")
    return rows


def model_of(corpus: Path) -> Arpa:
    """The n-grams of the train texts of LISTS, each text once a language, in a fixed order; | is the space.

    A sentence with a letter that no prompt has is left out: the network cannot write it.
    """
    sentences: list[list[str]] = []
    letters: set[str] = set()
    for name, times in LISTS.items():
        texts = sorted({(row["lang"], " ".join(row["text"].split())) for row in rows_of(corpus, "train", name)})
        letters = letters or {letter for _, text in texts for letter in text}
        sentences += [list(text.replace(" ", "|")) for _, text in texts if letters.issuperset(text)] * times
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # repeated prompts: fixed discounts
        return train(sentences, ORDER, PRUNE)


def bundle(corpus: Path, target: Path) -> int:
    """Write the model into ``target``, as transformers' processors have one, and return its bytes. Raises ValueError
    where it is larger than LIMIT."""
    packed = gzip.compress("".join(write_arpa(model_of(corpus), DIGITS)).encode(), 9, mtime=0)
    if len(packed) > LIMIT:
        raise ValueError(f"the language model has {len(packed)} bytes, and {LIMIT} are allowed: raise PRUNE")
    attrs = {"alpha": ALPHA, "beta": BETA, "unk_score_offset": -10.0, "score_boundary": True}
    (target / "language_model").mkdir(parents=True, exist_ok=True)
    write_whole(target / "language_model" / "attrs.json", json.dumps(attrs, indent=1) + "\n")
    write_whole(target / "language_model" / f"{ORDER}gram.arpa.gz", packed)
    return len(packed)


def tune(corpus: Path) -> Iterator[tuple[str, dict[str, Counts]]]:
    """The errors on the dev split by language: greedy, with a beam alone, and for each α and β."""
    import xlsr_ref
    from xlsr_ref import audio
    from xlsr_ref.ops.softmax import log_softmax
    from xlsr_ref.text.greedy import greedy
    from xlsr_ref.text.search.beam import beam_search
    from xlsr_ref.text.search.lm import build

    model, lm = xlsr_ref.load(), build(model_of(corpus))
    rows, rate = rows_of(corpus, "dev"), model.preprocessor.sampling_rate
    scores = [model.logits(audio.read(corpus / row["path"], rate, model.dtype), rate) for row in rows]
    ways: dict[str, Any] = {"greedy": None, "beam": model.search()}
    for alpha in ALPHAS:
        ways |= {f"α {alpha:g}, β {beta:g}": model.search(lm=lm, alpha=alpha, beta=beta) for beta in BETAS}
    for name, search in ways.items():
        totals: dict[str, Counts] = {}
        for row, logits in zip(rows, scores):
            if search is None:
                read = greedy(logits, model.require_tokenizer(), model.seconds_per_frame).text
            else:
                read = beam_search(log_softmax(logits), search)[0].text
            totals[row["lang"]] = totals.get(row["lang"], Counts()).plus(counts_of(read, row["text"]))
        yield name, totals


def line_of(name: str, totals: dict[str, Counts]) -> str:
    """A line of the table: the mean of the languages' character error rates, then each one's."""
    rates = {lang: counts.characters.rate for lang, counts in sorted(totals.items())}
    return f"{name:14}  mean {np.mean(list(rates.values())):.3f}  " + "  ".join(
        f"{k} {v:.3f}" for k, v in rates.items()
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line: write the model, or say what each setting gives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the folder that holds asterisk.tsv")
    parser.add_argument("--target", type=Path, default=BUNDLED)
    parser.add_argument("--tune", action="store_true", help="try settings on the dev split instead of writing")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.tune:
            for name, totals in tune(chosen.corpus):
                print(line_of(name, totals), flush=True)
        else:
            print(f"wrote {chosen.target} ({bundle(chosen.corpus, chosen.target) / 1e6:.2f} MB)")
    except (OSError, ValueError) as error:
        raise SystemExit(f"bundle_lm: {error}") from None


if __name__ == "__main__":
    main()
