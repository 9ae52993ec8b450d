"""What the page says on top: how far to trust the text, what was said, where the weights come from.

    sure      the mean of the words' confidences, each weighted by its characters
    verdict   a sentence where the model is small, or unsure of its text
    compared  what was said with what was read below it, word by word, the errors marked and counted

Whatever comes from outside is escaped. Letters: none; the counts are those of text/metrics.py.
"""

from __future__ import annotations

from html import escape

from xlsr_ref.teach.explain.trace import Trace
from xlsr_ref.text.metrics import Edit, Errors, character_errors, compare_words, count

SMALL = 50_000_000  # parameters: the smallest released wav2vec 2.0 models have 95 million
UNSURE = 0.85  # confidence below which a text is called unsure: of the bundled clips no text above it was far off
BUNDLED = "the bundled model"


def sure(seen: Trace) -> float:
    """How sure the model is of its text, 0 to 1: the mean over its characters; 1 where it wrote none."""
    characters = sum(len(word.text) for word in seen.words)
    return sum(len(word.text) * word.score for word in seen.words) / characters if characters else 1.0


def verdict(seen: Trace) -> str:
    """A paragraph on how far the text can be trusted; "" for a large model that is sure, and for an empty text."""
    small, confidence = seen.parameters < SMALL, sure(seen)
    if not seen.words or not (small or confidence < UNSURE):
        return ""
    size = f"a small model: {seen.parameters / 1e6:.1f} million parameters, where XLSR-53 has 317 million"
    doubt = f"unsure of this text: its confidence is {100 * confidence:.0f} % on average"
    if small and confidence < UNSURE:
        says = f"This is {size}. And it is {doubt}. Expect mistakes."
    elif small:
        says = f"This is {size}. It is sure of this text ({100 * confidence:.0f} %), and may be wrong all the same."
    else:
        says = f"The model is {doubt}. Expect mistakes."
    return f"<p class='verdict note'>{escape(says)}</p>"


def compared(seen: Trace, said: str) -> str:
    """``said`` and the text that was read as one table, a column for each word; errors are marked and counted."""
    edits = compare_words(said, seen.text)
    words, characters = count(edits), character_errors(said, seen.text)
    cells = "".join(f"<li class='{edit.kind}'>{_pair(edit)}</li>" for edit in edits)
    return (
        "<section class='said-read' aria-labelledby='h-said'><h2 id='h-said' class='small'>What was said, and below it "
        f"what was read</h2><ol dir='auto'>{cells}</ol><p class='hint'>{escape(_rates(words, characters))} A word "
        "that is struck through was left out, one with a plus was put in.</p></section>"
    )


def weights(seen: Trace, model_name: str) -> str:
    """Where the numbers of the network come from, as a sentence of HTML."""
    if model_name == BUNDLED:
        return (
            "The weights are those that come with <code>xlsr_ref</code>: trained by this project from random numbers "
            "on a few hours of telephone prompts, digits and synthetic voices in five languages. "
            "<code>data/small-ctc/MODEL_CARD.md</code> says on what, and how many mistakes it makes."
        )
    name = escape(model_name or "a model")
    return f"The weights were read from {name}; nothing of this program has trained or changed them."


def _pair(edit: Edit) -> str:
    """One word of each, the upper said, the lower read; a word for a screen reader says what happened."""
    said, read = escape(edit.said or ""), escape(edit.read or "")
    if edit.kind == "hit":
        return f"<span>{said}</span> <span>{read}</span>"
    upper = f"<del>{said}</del>" if edit.said is not None else "<span aria-hidden='true'>+</span>"
    lower = f"<ins>{read}</ins>" if edit.read is not None else "<span aria-hidden='true'>–</span>"
    return f"{upper} {lower}<span class='hidden'>({edit.kind})</span>"


def _rates(words: Errors, characters: Errors) -> str:
    def rate(errors: Errors) -> str:
        return "" if not errors.length else f" ({100 * errors.rate:.0f} %)"

    return (
        f"{words.edits} errors in {words.length} words{rate(words)}: {words.substitutions} substituted, "
        f"{words.deletions} deleted, {words.insertions} inserted. "
        f"{characters.edits} in {characters.length} characters{rate(characters)}."
    )
