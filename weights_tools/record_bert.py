"""Record what transformers computes of Wav2Vec2-BERT, so that the suite means something without torch.

    python -m weights_tools.record_bert         # small random models -> tests/golden/bert/<name>/, and features.npz

Needs the versions of record_goldens.py; the same versions write the same files. A folder holds the model as
transformers saves it, with its preprocessor, and stages.npz: the waveform, "features" (T, F) in float32, and in float64
"state <i>" and "output"; for CTC also "loss" of the targets 1, 2, 2 and "gradient", that
of the features. features.npz has a waveform and the features that the released model's preprocessor makes of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from weights_tools.record_goldens import NEEDED, ROOT, speech_like

SAMPLES = 2640  # 15 frames, 8 rows, of which the last has a partner of padding
TARGETS = (1, 2, 2)
SMALL: dict[str, Any] = {  # sizes differ wherever they may: a swapped axis is an error then
    "feature_projection_input_dim": 10,
    "hidden_size": 6,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 8,
    "conv_depthwise_kernel_size": 5,
    "left_max_position_embeddings": 4,
    "right_max_position_embeddings": 2,
    "id2label": {0: "yes", 1: "no", 2: "up"},
    "label2id": {"yes": 0, "no": 1, "up": 2},
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("ForCTC", {"vocab_size": 8, "num_hidden_layers": 2}),
    "adapter": (
        "ForCTC",
        {"position_embeddings_type": "relative", "vocab_size": 5, "add_adapter": True, "output_hidden_size": 3}
        | {"use_intermediate_ffn_before_adapter": True},
    ),
    "recording": (
        "ForSequenceClassification",
        {"position_embeddings_type": "rotary", "use_weighted_layer_sum": True, "classifier_proj_size": 7},
    ),
}
TOKENS = ("[PAD]", "[UNK]", "|", "a", "b", "c", "d", "e")


def record(name: str, target: Path) -> None:
    """Write one small random model and what it computes into ``target``/``name``."""
    import torch
    from transformers import SeamlessM4TFeatureExtractor

    from weights_tools import reference_bert as reference

    task, own = MODELS[name]
    rng = np.random.default_rng(list(name.encode()))
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    model = reference.random_model(f"Wav2Vec2Bert{task}", SMALL | own, rng)
    model.save_pretrained(folder)
    extractor = SeamlessM4TFeatureExtractor(feature_size=5, num_mel_bins=5, padding_value=1.0)
    extractor.save_pretrained(folder)
    if name == "text":
        write_vocabulary(folder)
    waveform = speech_like(SAMPLES, rng)
    features = extractor(waveform, sampling_rate=16000, return_tensors="np")["input_features"][0]
    x = torch.tensor(features[None], dtype=torch.float64, requires_grad=True)
    out = model.double()(x, output_hidden_states=True)
    arrays = {"waveform": waveform, "features": features, "output": out.logits[0].detach().numpy()}
    arrays |= {f"state {i}": state[0].detach().numpy() for i, state in enumerate(out.hidden_states)}
    if task == "ForCTC":
        log_probs = out.logits[0].log_softmax(-1)
        lengths = torch.tensor(len(log_probs)), torch.tensor(len(TARGETS))
        loss = torch.nn.functional.ctc_loss(log_probs, torch.tensor(TARGETS), *lengths, reduction="sum")
        loss.backward()
        arrays |= {"loss": loss.detach().numpy(), "gradient": x.grad[0].numpy()}  # type: ignore[index]
    np.savez_compressed(folder / "stages.npz", **arrays)  # type: ignore[arg-type]


def write_vocabulary(folder: Path) -> None:
    """A vocabulary for the model that writes text."""
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary) + "\n", encoding="utf-8")
    options: dict[str, Any] = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    options |= {"bos_token": None, "eos_token": None, "word_delimiter_token": "|"}
    (folder / "tokenizer_config.json").write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")


def record_features(target: Path) -> None:
    """What the preprocessor of the released model makes of a short sound whose frames are odd."""
    from transformers import SeamlessM4TFeatureExtractor

    waveform = speech_like(400 + 160 * 4, np.random.default_rng(160))
    made = SeamlessM4TFeatureExtractor(padding_value=1.0)(waveform, sampling_rate=16000, return_tensors="np")
    np.savez_compressed(target / "features.npz", waveform=waveform, features=made["input_features"][0])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--any-version", action="store_true", help="record with whatever torch and transformers are here"
    )
    parser.add_argument("--target", type=Path, default=ROOT / "tests" / "golden" / "bert", help="folder to write")
    args = parser.parse_args(argv)
    found = {package: version(package).partition("+")[0] for package in NEEDED}
    if found != NEEDED and not args.any_version:
        print(f"record_bert: found {found}, the goldens are made with {NEEDED}", file=sys.stderr)
        return 1
    import torch

    torch.set_num_threads(1)  # sums in the same order on every machine
    for name in MODELS:
        record(name, args.target)
    record_features(args.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
