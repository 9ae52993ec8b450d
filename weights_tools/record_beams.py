"""What pyctcdecode 0.5 makes of log-probabilities: the answers in tests/golden/beams/answers.json.

    python -m venv OLD && OLD/bin/pip install "pyctcdecode==0.5.0" "numpy<2" kenlm      (beside NumPy 2 it cannot be)
    OLD/bin/python weights_tools/record_beams.py tests/golden/beams/cases.npz tests/golden/beams/answers.json

The first file, which `compare_beams --make` writes, holds for each case NAME an array NAME (T, V) of logits, and once
`labels` (V,), the text of each, "" for the blank and " " for the space. A case called LANG… is decoded with LANG.arpa,
too, if that lies beside the cases. The answers: for each case and each of SETTINGS the best texts and their scores. The
beam's history is not pruned, and the known words are all those of the ARPA file (by itself pyctcdecode leaves out those
without a back-off weight). `kenlm` is KenLM's log10 p of each text that was found with a model, as a whole sentence.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

NEEDED = "0.5.0"
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "narrow": {"beam_width": 10, "beam_prune_logp": -6.0, "token_min_logp": -3.0},
    "hotwords": {"hotwords": ["press", "archivo", "messaggio", "monkeys"], "hotword_weight": 6.0},
    "lm": {},
    "lm narrow": {"beam_width": 10},
    "lm hotwords": {"hotwords": ["press", "archivo", "messaggio", "monkeys"], "hotword_weight": 6.0},
}
BEST = 3


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """In float64, so that nothing but the search can differ."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def words_of(arpa: Path) -> list[str]:
    """The 1-grams of an ARPA file."""
    lines = arpa.read_text(encoding="utf-8").split("\\1-grams:\n")[1].split("\n\n")[0].splitlines()
    return [word for word in (line.split("\t")[1] for line in lines) if word not in ("<s>", "</s>", "<unk>")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--lm", type=Path, help="folder with LANG.arpa (default: that of the cases)")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="which ones (default: all)")
    arguments = parser.parse_args()
    if version("pyctcdecode") != NEEDED:
        sys.exit(f"pyctcdecode is {version('pyctcdecode')}, the answers come from {NEEDED}")
    logging.disable(logging.WARNING)
    import kenlm
    from pyctcdecode import build_ctcdecoder

    cases = np.load(arguments.cases)
    labels = cases["labels"].tolist()
    folder = arguments.lm or arguments.cases.parent
    decoders = {
        arpa.stem: build_ctcdecoder(labels, str(arpa), words_of(arpa)) for arpa in sorted(folder.glob("*.arpa"))
    }
    models = {arpa.stem: kenlm.Model(str(arpa)) for arpa in sorted(folder.glob("*.arpa"))}
    plain = build_ctcdecoder(labels)
    sentences: dict[str, float] = {}
    answers: dict[str, dict[str, list]] = {}
    for name in cases.files:
        if name == "labels":
            continue
        log_y = log_softmax(cases[name])
        for setting in arguments.settings.split(","):
            language = next((lang for lang in decoders if name.startswith(lang)), None)
            if setting.startswith("lm") and language is None:
                continue
            decoder = decoders[language] if setting.startswith("lm") and language is not None else plain
            beams = decoder.decode_beams(log_y, **SETTINGS[setting])[:BEST]
            if setting.startswith("lm") and language is not None:
                sentences |= {f"{language}: {beam[0]}": models[language].score(beam[0]) for beam in beams}
            answers.setdefault(name, {})[setting] = [[beam[0], float(beam[-1])] for beam in beams]
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one, ensure_ascii=False)}" for name, one in answers.items())
    scores = json.dumps(sentences, ensure_ascii=False, indent=0)
    content = f'{{"pyctcdecode": "{NEEDED}", "cases": {{\n{lines}\n}}, "kenlm": {scores}}}\n'
    arguments.answers.write_text(content, encoding="utf-8")
    print(f"{len(answers)} cases -> {arguments.answers}")


if __name__ == "__main__":
    main()
