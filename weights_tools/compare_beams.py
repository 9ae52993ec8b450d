"""Our beam search beside pyctcdecode's recorded answers (record_beams.py): how often the best text is the same.

    python -m weights_tools.compare_beams CASES.npz ANSWERS.json [--lm FOLDER] [--show]

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


def compare(cases: Path, answers: Path, lm: Path | None = None) -> Iterator[Compared]:
    """Every recorded answer, and ours."""
    from xlsr_ref.text.beam import beam_search, search
    from xlsr_ref.text.fusion import fuse
    from xlsr_ref.text.labels import make_labels
    from xlsr_ref.text.lm import read_lm

    logits = np.load(cases)
    written = [str(text) for text in logits["labels"]]
    labels = make_labels(["⁇" if text == "[UNK]" else text for text in written], written.index(""))
    models = {arpa.stem: read_lm(arpa) for arpa in sorted((lm or cases.parent).glob("*.arpa"))}
    recorded: dict[str, dict[str, list]] = json.loads(answers.read_text(encoding="utf-8"))["cases"]
    searches: dict[tuple[str, str], Any] = {}
    for case, of_case in recorded.items():
        language = next((name for name in models if case.startswith(name)), "")
        for setting, theirs in of_case.items():
            if (setting, language) not in searches:
                given = dict(SETTINGS[setting])
                hot = {name: given.pop(name) for name in ("hotwords", "hotword_weight") if name in given}
                how = {OUR_NAMES[name]: value for name, value in given.items()}
                fusion = fuse(labels, models[language] if setting.startswith("lm") else None, **hot)
                searches[setting, language] = search(labels, fusion, **how)
            found = beam_search(log_softmax(logits[case]), searches[setting, language], len(theirs))
            ours = [(one.text, one.score) for one in found]
            yield Compared(case, setting, ours[0][0] == theirs[0][0], ours, [tuple(one) for one in theirs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--lm", type=Path, help="folder with LANG.arpa (default: that of the cases)")
    parser.add_argument("--show", action="store_true", help="print each case that differs")
    arguments = parser.parse_args()
    same: dict[str, list[bool]] = {}
    for one in compare(arguments.cases, arguments.answers, arguments.lm):
        same.setdefault(one.setting, []).append(one.same)
        if arguments.show and not one.same:
            print(f"{one.case} ({one.setting})")
            for who, texts in (("ours", one.ours), ("pyctcdecode", one.theirs)):
                print("".join(f"    {who:12}{score:11.4f}  {text}\n" for text, score in texts), end="")
    for setting, each in same.items():
        print(f"{setting:12} {sum(each)} of {len(each)} the same: {100 * sum(each) / len(each):.2f} %")


if __name__ == "__main__":
    main()
