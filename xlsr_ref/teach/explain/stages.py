"""What the page says of each stage: its name, its shape, two sentences, and the function that does it.

A term is glossed once, where it comes first: `<dfn>` marks it. The sentences are HTML, and only numbers go into them.
"""

from __future__ import annotations

from typing import NamedTuple

from xlsr_ref.teach.explain.trace import Trace, layers_of
from xlsr_ref.wav2vec2.config import Config


class PageStage(NamedTuple):
    key: str  # its anchor on the page
    name: str
    shape: str  # of what it puts out
    says: str  # two sentences, HTML
    functions: tuple[str, ...]  # after "xlsr_ref."


def stages_of(seen: Trace) -> tuple[PageStage, ...]:
    """The stages in the order of the signal, with the numbers of this utterance."""
    return *_front(seen), *_network(seen), *_text(seen)


def _front(seen: Trace) -> tuple[PageStage, ...]:
    """From the sound to the blocks' width."""
    c = seen.config
    L, (T, wide), (_, C) = len(seen.waveform), seen.features.shape, seen.projected.shape
    hop, field = 1000 * seen.hop / seen.rate, 1000 * seen.field / seen.rate
    scaled = ("audio.normalise",) if seen.is_normalised else ()
    brought = (
        "The samples are shifted and scaled to mean 0 and variance 1, so that loud and quiet recordings look alike."
        if scaled
        else "This model takes them as they are."
    )
    if isinstance(c, Config):
        made = (
            f"{_count(len(c.conv_kernel))} <dfn>convolutions</dfn> slide over the samples: each adds up a few "
            "neighbours with learned weights, then steps on."
        )
        made_by = ("wav2vec2.feature_encoder.feature_encoder",)
    else:
        made = (
            "Nothing is learned here: the power of the sound in some bands of frequency, narrow for low tones and wide "
            "for high ones, as a logarithm (<dfn>log-mel</dfn>), and neighbours in time side by side."
        )
        made_by = ("audio.log_mel.LogMel",)
    out = (
        f"Out comes a row of {wide} numbers, its <dfn>channels</dfn>, every {hop:g} ms: a <dfn>frame</dfn>, which has "
        f"seen {field:g} ms of sound."
    )
    return (
        PageStage(
            "sound",
            "Sound",
            f"({L:,},)",
            f"A microphone measures the pressure of the air {seen.rate:,} times a second; each number is a "
            f"<dfn>sample</dfn>. {brought}",
            ("audio.read", *scaled),
        ),
        PageStage("features", "Features", f"({T:,}, {wide})", f"{made} {out}", made_by),
        PageStage(
            "projection",
            "Projection",
            f"({T:,}, {C})",
            f"Every frame is brought to {C} channels, the width of all that follows. "
            "It is one multiplication by a matrix, the same for every frame.",
            ("ops.feature_projection.feature_projection",),
        ),
    )


def _network(seen: Trace) -> tuple[PageStage, ...]:
    """The context network and its head."""
    c, (T, C), V = seen.config, seen.projected.shape, len(seen.labels)
    H, N = c.num_attention_heads, c.num_hidden_layers
    after = "then a small network works on each frame alone."
    if isinstance(c, Config):
        kind = "pre_norm_block" if c.do_stable_layer_norm else "post_norm_block"
        done_by: tuple[str, ...] = ("ops.attention.attention", f"wav2vec2.block.{kind}")
    else:
        after = (
            "how far away the other is counts, too. Before and after it a small network works on each frame alone, and "
            "a convolution over the frames before brings in what has just been said."
        )
        done_by = ("wav2vec2_bert.relative_attention.self_attention", "wav2vec2_bert.conformer_block.conformer_block")
    return (
        *_positions(seen),
        PageStage(
            "blocks",
            f"Blocks × {N}",
            f"({T:,}, {C})",
            f"In each of {N} <dfn>blocks</dfn> every frame looks at all others and takes over what helps: that is "
            "<dfn>attention</dfn>. "
            f"{H} <dfn>heads</dfn> do so side by side, each in its own way; {after}",
            done_by,
        ),
        PageStage(
            "scores",
            "Scores",
            f"({T:,}, {V})",
            f"One more matrix gives each frame a score, its <dfn>logit</dfn>, for each of {V} entries of the "
            "vocabulary. Softmax turns scores into <dfn>probabilities</dfn>, which sum to 1; the <dfn>blank</dfn>, "
            "written –, means “no character here”.",
            ("heads.ctc.ctc_head", "ops.softmax.softmax"),
        ),
    )


def _positions(seen: Trace) -> tuple[PageStage, ...]:
    """What is added before the blocks, in a network that adds something."""
    c, (T, C) = seen.config, seen.projected.shape
    if not isinstance(c, Config):
        return ()
    stage = PageStage(
        "positions",
        "Positions",
        f"({T:,}, {C})",
        "Attention, which comes next, would not notice if the frames were shuffled. "
        f"So a convolution over {c.num_conv_pos_embeddings} frames adds to each a trace of what stands around it.",
        ("wav2vec2.positional.positional",),
    )
    return (stage,)


def _text(seen: Trace) -> tuple[PageStage, ...]:
    """From scores to words."""
    T, S = len(seen.features), len(seen.runs)
    return (
        PageStage(
            "path",
            "Best path",
            f"({S},)",
            "The first way from the scores leads to the text: every frame takes its likeliest character, repeats "
            "become one, and blanks go. This way of reading is called <dfn>CTC</dfn>: a blank between two equal "
            "letters keeps them two.",
            ("text.greedy.best_path", "text.greedy.collapse"),
        ),
        PageStage(
            "lattice",
            "Lattice",
            f"({T:,}, {2 * S + 1})",
            "The second way takes the text as known and asks when: the <dfn>lattice</dfn> shows all ways to spread it "
            "over the frames. Down are the characters with a blank around each, across are the frames, and a path "
            "stays, takes a step down, or jumps over a blank between two different characters.",
            ("losses.ctc.posteriors", "text.align.align"),
        ),
        PageStage(
            "words",
            "Words",
            plural(len(seen.words), "word"),
            "Here both ways meet: the words are those of the best path, and the likeliest path through the lattice "
            "says when each begins and ends (<code>Model.align</code> then widens it to where its sound does). The "
            "<dfn>confidence</dfn> is how probable the model finds its own characters: it can be sure, and wrong.",
            ("Model.transcribe", "Model.align"),
        ),
    )


def layer_rows(seen: Trace) -> list[tuple[str, ...]]:
    """The table of the convolutions: number, kernel, stride, rows out, and the ms that a row sees; empty for none."""
    if not isinstance(seen.config, Config):
        return []
    return [
        (str(i), str(kernel), str(stride), f"{rows:,}", f"{1000 * field / seen.rate:.3g} ms")
        for i, (kernel, stride, rows, field) in enumerate(layers_of(seen.config, len(seen.waveform)), 1)
    ]


def _count(number: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return words[number] if number < len(words) else str(number)


def plural(number: int, thing: str) -> str:
    """`1 word`, `2 words`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
