"""Our beam search beside pyctcdecode's recorded answers (record_beams.py): how often the best text is the same.

    python -m weights_tools.compare_beams CASES.npz --make CORPUS          first: the bundled model's logits on a corpus
    python -m weights_tools.compare_beams CASES.npz ANSWERS.json [--lm FOLDER] [--show]

`--make` takes the test clips, `--most` of each part and language, and puts beside them a model
for each language, trained on the corpus's own transcripts of the train split: LANG.arpa. Cases are float16, so small.
Both searched with the same settings. `--show` prints each case in which the best texts differ, with the scores that
each of the two gives to them. It needs the package, and imports it when it runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weights_tools.record_beams import SETTINGS, log_softmax

OUR_NAMES = {"beam_width": "width", "beam_prune_logp": "beam_prune", "token_min_logp": "token_min"}


class Compared(NamedTuple):
    """One case under one setting."""

    case: str
    setting: str
    same: bool
    ours: list[tuple[str, float]]
    theirs: list[tuple[str, float]]


def compare(cases: Path, answers: Path, lm: Path | None = None, habits: bool = True) -> Iterator[Compared]:
    """Every recorded answer, and ours; with ``habits`` a final space costs a word, as it does there."""
    from xlsr_ref.text.search.beam import beam_search, search
    from xlsr_ref.text.search.fusion import fuse
    from xlsr_ref.text.search.labels import make_labels
    from xlsr_ref.text.search.lm import read_lm

    logits = np.load(cases)
    written = [str(text) for text in logits["labels"]]
    labels = make_labels(["⁇" if text == "[UNK]" else text for text in written], written.index(""))
    folder = lm or cases.parent
    models = {arpa.stem: read_lm(arpa) for arpa in sorted(folder.glob("*.arpa"))}
    recorded: dict[str, dict[str, list]] = json.loads(answers.read_text(encoding="utf-8"))["cases"]
    searches: dict[tuple[str, str], Any] = {}
    for case, of_case in recorded.items():
        language = next((name for name in models if case.startswith(name)), "")
        for setting, theirs in of_case.items():
            if (setting, language) not in searches:
                given = dict(SETTINGS[setting])
                hot = {name: given.pop(name) for name in ("hotwords", "hotword_weight") if name in given}
                how = {OUR_NAMES[name]: value for name, value in given.items()}
                of_words = models[language] if setting.startswith("lm") else None
                fusion = fuse(labels, of_words, empty_word=habits, **hot)
                searches[setting, language] = search(labels, fusion, **how)
            found = beam_search(log_softmax(logits[case]), searches[setting, language], len(theirs))
            ours = [(one.text, one.score) for one in found]
            yield Compared(case, setting, ours[0][0] == theirs[0][0], ours, [tuple(one) for one in theirs])


def make(cases: Path, corpus: Path, most: int = 10**6, order: int = 3, languages: str = "en,es,fr,it,ru") -> None:
    """The cases of a corpus, and LANG.arpa beside them; at most ``most`` of a part and language."""
    import xlsr_ref
    from weights_tools.evaluate_model import clips_of
    from xlsr_ref import audio
    from xlsr_ref.text.search.arpa import write_arpa
    from xlsr_ref.text.search.kneser_ney import train
    from xlsr_ref.text.search.labels import labels_of

    model = xlsr_ref.load()
    rate = model.preprocessor.sampling_rate
    assert model.tokenizer is not None
    labels = labels_of(model.tokenizer, len(model.params["lm_head"]["weight"]))
    found: dict[str, Any] = {"labels": np.array(list(labels.written))}
    taken: dict[str, int] = {}
    for (part, language, _), row in clips_of(corpus, ["test"]):
        kind = f"{language} {part}"
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= most and language in languages.split(","):
            waveform = np.concatenate(list(audio.pieces(corpus / row["path"], rate, np.float32)))
            found[f"{kind} {row['path'].replace('/', ' ')}"] = model.logits(waveform, rate).astype(np.float16)
    np.savez_compressed(cases, **found)
    for language in languages.split(","):
        arpa = train(sentences_of(corpus, language), order)
        (cases.parent / f"{language}.arpa").write_text("".join(write_arpa(arpa)), encoding="utf-8")


def sentences_of(corpus: Path, language: str) -> list[list[str]]:
    """The transcripts of the train split in one language, each once: the digits' thousands would drown the rest."""
    from weights_tools.evaluate_model import clips_of

    rows = [row for (_, lang, _), row in clips_of(corpus, ["train"]) if lang == language]
    return [text.split() for text in dict.fromkeys(row["text"] for row in rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("answers", type=Path, nargs="?")
    parser.add_argument("--make", type=Path, metavar="CORPUS", help="write the cases and LANG.arpa, and stop")
    parser.add_argument("--most", type=int, default=10**6, help="cases of a part and language")
    parser.add_argument("--order", type=int, default=3, help="of the language models")
    parser.add_argument("--languages", default="en,es,fr,it,ru")
    parser.add_argument("--lm", type=Path, help="folder with LANG.arpa (default: that of the cases)")
    parser.add_argument("--better", action="store_true", help="ours without the word that a final space costs there")
    parser.add_argument("--show", action="store_true", help="print each case that differs")
    arguments = parser.parse_args()
    if arguments.make is not None:
        make(arguments.cases, arguments.make, arguments.most, arguments.order, arguments.languages)
        return
    same: dict[str, list[bool]] = {}
    for one in compare(arguments.cases, arguments.answers, arguments.lm, not arguments.better):
        same.setdefault(one.setting, []).append(one.same)
        if arguments.show and not one.same:
            print(f"{one.case} ({one.setting})")
            for who, texts in (("ours", one.ours), ("pyctcdecode", one.theirs)):
                print("".join(f"    {who:12}{score:11.4f}  {text}\n" for text, score in texts), end="")
    for setting, each in same.items():
        print(f"{setting:12} {sum(each)} of {len(each)} the same: {100 * sum(each) / len(each):.2f} %")


if __name__ == "__main__":
    main()
