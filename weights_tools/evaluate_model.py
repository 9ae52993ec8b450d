"""Error of a model on a corpus, per part, language and split: the table of a model card.

    python -m weights_tools.evaluate_model MODEL CORPUS [--splits test dev] [--lm bundled] [--card MODEL_CARD.md]

    character error rate = edits / characters of the transcript        word error rate = the same, counted in words

Edits are counted by xlsr_ref/text/metrics.py, and added up over all clips of a row before dividing, so long clips count
for more. Decoding is greedy, one clip at a time, and with `--lm` a second time by a beam search with that language
model. `--card` puts the table between the two marks of a model card. UNHEARD are the parts whose
speakers the bundled model never heard.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

import xlsr_ref
from xlsr_ref.files import write_whole
from xlsr_ref.text.metrics import Errors, character_errors, word_errors

PARTS = ("asterisk", "fsdd", "librivox", "tuxpaint")
LANGUAGES = ("en", "es", "fr", "it", "ru")  # those that the bundled model writes
UNHEARD = (("fsdd", "test"), ("librivox", "test"), ("tuxpaint", "dev"))
MARKS = "<!-- errors: written by weights_tools.evaluate_model -->", "<!-- end of errors -->"


class Counts(NamedTuple):
    """What came of some clips; two of them add up with ``plus``."""

    clips: int = 0
    characters: Errors = Errors()
    words: Errors = Errors()

    def plus(self, other: Counts) -> Counts:
        return Counts(self.clips + other.clips, self.characters.plus(other.characters), self.words.plus(other.words))


def counts_of(read: str, said: str) -> Counts:
    """The counts of one clip."""
    return Counts(1, character_errors(said, read), word_errors(said, read))


def clips_of(corpus: Path, splits: Sequence[str]) -> list[tuple[tuple[str, str, str], dict[str, str]]]:
    """((part, language, split), row) of every clip; parts that this corpus lacks are left out."""
    clips = []
    for part in PARTS:
        if (corpus / f"{part}.tsv").exists():
            with open(corpus / f"{part}.tsv", encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                    if row["split"] in splits and row["lang"] in LANGUAGES:
                        clips.append(((part, row["lang"], row["split"]), row))
    if not clips:
        raise ValueError(f"{corpus} has no clips of the splits {', '.join(splits)}: give the folder of asterisk.tsv")
    return clips


def evaluate(
    transcribe: Callable[[Path], str], corpus: Path, splits: Sequence[str] = ("test", "dev")
) -> dict[tuple[str, str, str], Counts]:
    """Errors per (part, language, split), in the order of the corpus; ``transcribe`` turns a file into its text."""
    totals: dict[tuple[str, str, str], Counts] = {}
    for key, row in tqdm(clips_of(corpus, splits), unit="clip", disable=None):
        counts = counts_of(transcribe(corpus / row["path"]), row["text"])
        totals[key] = totals.get(key, Counts()).plus(counts)
    return totals


def table(totals: dict[tuple[str, str, str], Counts], with_lm: dict[tuple[str, str, str], Counts] | None = None) -> str:
    """The Markdown table of a model card: known voices, then unheard ones; ``with_lm`` adds two columns."""
    named = ["part", "voices", "language", "split", "clips", "CER", "WER"]
    named += ["CER with LM", "WER with LM"] if with_lm else []
    lines = [f"| {' | '.join(named)} |", "|---|---|---|---|" + "---:|" * (len(named) - 4)]
    order = sorted(totals, key=lambda key: ((key[0], key[2]) in UNHEARD, key[2] != "test", key))
    for part, lang, split in order:
        voices = "unheard" if (part, split) in UNHEARD else "known"
        row = [part, voices, lang, split, str(totals[part, lang, split].clips)]
        for each in (totals, with_lm) if with_lm else (totals,):
            counts = each[part, lang, split]
            row += [f"{counts.characters.rate:.3f}", f"{counts.words.rate:.3f}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def put_into_card(card: str, new_table: str, marks: tuple[str, str] = MARKS) -> str:
    """The text of a model card with the table between its two ``marks`` replaced. Raises ValueError without them."""
    before, begins, rest = card.partition(marks[0])
    _, ends, after = rest.partition(marks[1])
    if not (begins and ends):
        raise ValueError(f"the model card has no place for the table: add the lines {marks[0]} and {marks[1]}")
    return f"{before}{begins}\n\n{new_table}\n\n{ends}{after}"


def main(arguments: list[str] | None = None) -> None:
    """The command line: print the table, and write it into a model card if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--splits", nargs="+", default=["test", "dev"])
    parser.add_argument("--lm", help="a language model, or bundled: decode once more with it")
    parser.add_argument("--card", type=Path, help="a model card whose table is replaced")
    chosen = parser.parse_args(arguments)

    try:
        card = chosen.card.read_text(encoding="utf-8") if chosen.card else None
        model = xlsr_ref.load(chosen.model)
        greedy = evaluate(lambda path: model.transcribe(path).text, chosen.corpus, chosen.splits)
        search = model.search(lm=chosen.lm) if chosen.lm else None
        with_lm = search and evaluate(
            lambda path: model.transcribe(path, beam=search).text, chosen.corpus, chosen.splits
        )
        new_table = table(greedy, with_lm)
        print(new_table)
        if card is not None:
            write_whole(chosen.card, put_into_card(card, new_table))
    except (OSError, ValueError) as error:
        raise SystemExit(f"evaluate_model: {error}") from None


if __name__ == "__main__":
    main()
