"""How a word's error falls with the number of times that training heard it: what a model lacks, as a curve.

    python -m weights_tools.words_heard MODEL CORPUS [--list asterisk.tsv] [--splits test dev] [--lm bundled]
                                        [--card MODEL_CARD.md]

Each word that is said in the splits belongs to the row of its count among the train texts of its language. It is wrong
where the alignment of what was said and what was read (Levenshtein) deletes or replaces it; inserted words belong to no
row. `--card` puts the table between the two marks of a model card.
"""

from __future__ import annotations

import argparse
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

import xlsr_ref
from weights_tools.evaluate_model import put_into_card
from xlsr_ref.audio.manifest import Clip, read_manifest
from xlsr_ref.files import write_whole
from xlsr_ref.text.metrics import compare_words

FROM = (0, 1, 2, 4, 8, 16, 32)  # the least count of each row
MARKS = "<!-- words: written by weights_tools.words_heard -->", "<!-- end of words -->"

Counts = Counter[tuple[int, bool]]  # (row, was the word read right?) → how many


def row_of(count: int) -> int:
    """The index in FROM of the row of a word that training heard ``count`` times."""
    return bisect_right(FROM, count) - 1


def heard(clips: Iterable[Clip]) -> Counter[tuple[str, str]]:
    """How often each (language, word) is said in the train clips."""
    return Counter((clip.lang, word) for clip in clips if clip.split == "train" for word in clip.text.split())


def counts(pairs: Iterable[tuple[str, str, str]], known: Counter[tuple[str, str]]) -> Counts:
    """Of (language, said, read): how many words of each row were right and wrong."""
    found: Counts = Counter()
    for lang, said, read in pairs:
        for edit in compare_words(said, read):
            if edit.said is not None:
                found[row_of(known[lang, edit.said]), edit.said == edit.read] += 1
    return found


def table(columns: dict[str, Counts]) -> str:
    """The Markdown table: a row for each range of counts, the share of wrong words in each of ``columns``."""
    named = ["times heard in training", "words", *columns]
    lines = [f"| {' | '.join(named)} |", "|---|" + "---:|" * (len(named) - 1)]
    for row, least in enumerate(FROM):
        most = FROM[row + 1] - 1 if row + 1 < len(FROM) else None
        span = f"{least} or more" if most is None else f"{least}" if most == least else f"{least} to {most}"
        sums = [(each[row, True], each[row, False]) for each in columns.values()]
        if sum(sums[0]):
            rates = [f"{wrong / (right + wrong):.2f}" for right, wrong in sums]
            lines.append(f"| {' | '.join([span, str(sum(sums[0])), *rates])} |")
    return "\n".join(lines)


def measured(transcribe: Callable[[Clip], str], clips: list[Clip], splits: list[str]) -> Counts:
    """The counts of the clips of ``splits``. Raises ValueError where there is none."""
    asked = [clip for clip in clips if clip.split in splits]
    if not asked:
        raise ValueError(f"no clip is of the splits {', '.join(splits)}: name others with --splits")
    pairs = [(clip.lang, clip.text, transcribe(clip)) for clip in tqdm(asked, unit="clip", disable=None)]
    return counts(pairs, heard(clips))


def main(arguments: list[str] | None = None) -> None:
    """The command line: print the table, and write it into a model card if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--list", default="asterisk.tsv", help="in CORPUS (default: asterisk.tsv)")
    parser.add_argument("--splits", nargs="+", default=["test", "dev"])
    parser.add_argument("--lm", help="a language model, or bundled: decode once more with it")
    parser.add_argument("--card", type=Path, help="a model card whose table is replaced")
    chosen = parser.parse_args(arguments)
    try:
        clips, model = read_manifest(chosen.corpus / chosen.list), xlsr_ref.load(chosen.model)
        columns = {"wrong": measured(lambda clip: model.transcribe(clip.path).text, clips, chosen.splits)}
        if chosen.lm:
            beam = model.search(lm=chosen.lm)
            columns["wrong with LM"] = measured(
                lambda clip: model.transcribe(clip.path, beam=beam).text, clips, chosen.splits
            )
        print(table(columns))
        if chosen.card:
            write_whole(chosen.card, put_into_card(chosen.card.read_text("utf-8"), table(columns), MARKS))
    except (OSError, ValueError) as error:
        raise SystemExit(f"words_heard: {error}") from None


if __name__ == "__main__":
    main()
