"""A corpus of three clips and a recipe for a model of two blocks: training from beginning to end, in a second."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import soundfile

CONFIG = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": [8] * 7,
    "conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2, "ctc_loss_reduction": "mean", "mask_time_length": 3, "mask_time_prob": 0.3,
    "num_codevectors_per_group": 8, "codevector_dim": 8, "proj_codevector_dim": 8, "num_negatives": 5,
}  # fmt: skip

ROWS = [("a", "en", 0.4, "train", "ab"), ("b", "en", 0.5, "train", "ba a"), ("c", "es", 0.3, "train", "c"),
        ("d", "en", 0.4, "dev", "ab")]  # fmt: skip
HEAD = "path\tlang\tspeaker\tseconds\tsplit\ttext\n"


def make_corpus(folder: Path, rows: list[tuple[str, str, float, str, str]] = ROWS) -> Path:
    """Noise, as three clips to learn from and one to check with, and their list ``tiny.tsv``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    lines = [HEAD]
    for name, lang, seconds, split, text in rows:
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, round(16000 * seconds)), 16000)
        speaker = "somebody" if split == "train" else "another"
        lines.append(f"{name}.wav\t{lang}\t{speaker}\t{seconds}\t{split}\t{text}\n")
    (folder / "tiny.tsv").write_text("".join(lines), "utf-8")
    return folder


def recipe(steps: int = 12, every: int = 4, **changes: str) -> str:
    """A recipe's text. ``changes`` are lines that go into a table of that name."""
    config = "".join(f"{name} = {json.dumps(value)}\n" for name, value in CONFIG.items())
    tables = {
        "model.config": config,
        "data": 'manifests = ["tiny.tsv"]\nbatch_seconds = 0.8\n',
        "optimizer": "",
        "schedule": "peak = 1e-3\n",
        "run": f"steps = {steps}\nreport_every = 2\nevaluate_every = {every}\nsave_every = {every}\n",
    }
    for name, lines in changes.items():
        tables[name] = tables.get(name, "") + lines + "\n"
    return "".join(f"[{name}]\n{lines}" for name, lines in tables.items())


def fingerprint(run: Path, steps: int = 12) -> dict[str, str]:
    """What a finished run has learnt, and what its optimizer remembers: the same text for the same bits."""
    last = run / "checkpoints" / f"step-{steps:07}"
    files = (run / "model" / "model.safetensors", last / "model.safetensors", last / "optimizer.safetensors")
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
