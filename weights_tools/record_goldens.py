"""Record what transformers computes, so that the tests mean something on a machine without torch.

    python -m weights_tools.record_goldens              # small random models of every family -> tests/golden/<name>/
    python -m weights_tools.record_goldens --bundled    # the bundled model on bundled clips -> tests/golden/bundled*

Needs torch 2.13.0 and transformers 5.23.0 (--any-version goes on with others). The same versions write the same files.
A small model's folder holds the model as transformers saves it and stages.npz: the waveform, every stage in float64
("stage <module path>": (T, C)), "hidden_state <i>", "attention <module path>" (H, T, T), the last hidden state, and how
far torch's own float32 is from its float64 ("float32_error <module path>", relative to the stage's largest value).
The bundled model's stages are too large for that and are kept as sketches (see compare.py) in bundled.npz; bundled.json
holds its text for every bundled clip and the digest of the weights that were used.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.compare import relative_error, sketches
from xlsr_ref.files import write_whole

NEEDED = {"torch": "2.13.0", "transformers": "5.23.0"}
ROOT = Path(__file__).resolve().parent.parent
RATE = 16000

RELEASED = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    # name: (class, samples of the waveform, config). Sizes differ wherever they may: a swapped axis is an error then.
    "xlsr": (  # XLSR-53's family; its epsilon differs from the 1e-5 that the conv encoder's norms always use
        "Wav2Vec2ForCTC",
        6500,
        RELEASED
        | {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, "layer_norm_eps": 1e-3}
        | {"conv_dim": (6, 9, 8, 10, 7, 12, 14), "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
        | {
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
            "intermediate_size": 40,
            "vocab_size": 11,
        },
    ),
    "base": (  # wav2vec2-base's family
        "Wav2Vec2ForCTC",
        6500,
        RELEASED
        | {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False, "layer_norm_eps": 1e-5}
        | {"conv_dim": (8, 6, 9, 7, 11, 10, 12), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        | {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "intermediate_size": 50, "vocab_size": 13},
    ),
    "odd": (  # an odd positional kernel, four convolutions, one of them wider than its stride is useful for
        "Wav2Vec2ForCTC",
        4999,
        {"conv_dim": (7, 5, 8, 9), "conv_kernel": (9, 4, 2, 3), "conv_stride": (7, 5, 4, 1)}
        | {"feat_extract_norm": "group", "conv_bias": True, "do_stable_layer_norm": True, "layer_norm_eps": 1e-2}
        | {"hidden_size": 30, "num_hidden_layers": 2, "num_attention_heads": 5, "intermediate_size": 17}
        | {"num_conv_pos_embeddings": 7, "num_conv_pos_embedding_groups": 3, "vocab_size": 6},
    ),
    "bare": (  # no head, so no "wav2vec2." in the names; layer norm and post-norm blocks together
        "Wav2Vec2Model",
        4321,
        {"conv_dim": (5, 8, 6), "conv_kernel": (12, 5, 4), "conv_stride": (6, 5, 4)}
        | {"feat_extract_norm": "layer", "conv_bias": False, "do_stable_layer_norm": False, "layer_norm_eps": 1e-4}
        | {"hidden_size": 18, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 29}
        | {"num_conv_pos_embeddings": 3, "num_conv_pos_embedding_groups": 18},
    ),
}


def speech_like(samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) float32: a voice-like buzz of gliding pitch and loudness, a pause, breath noise, a small offset."""
    t = np.arange(samples) / RATE
    pitch = 140 + 40 * np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6))  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tilt = [np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 20)]
    loudness = np.clip(np.sin(2 * np.pi * 2.5 * t + 0.3), 0, None) ** 0.5
    noise = rng.standard_normal(samples)
    return (0.15 * loudness * sum(tilt) + 0.01 * noise + 0.003).astype(np.float32)


def record_small(name: str, target: Path) -> None:
    """Write one small random model and its stages into ``target``/``name``."""
    import torch

    from weights_tools import reference

    kind, samples, config = MODELS[name]
    rng = np.random.default_rng(list(name.encode()))
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    reference.random_model(kind, config, rng).save_pretrained(folder)
    waveform = speech_like(samples, rng)

    extractor = reference.load_extractor(folder)
    runs = {}
    for dtype in (torch.float64, torch.float32):
        values = reference.input_values(waveform, dtype, extractor)
        runs[dtype] = reference.run_reference(reference.load_reference(folder, dtype), values)
    double, single = runs[torch.float64], runs[torch.float32]

    arrays: dict[str, np.ndarray] = {"waveform": waveform}
    arrays |= {f"stage {path}": stage for path, stage in double.stages.items()}
    arrays |= {f"hidden_state {i}": state for i, state in enumerate(double.hidden_states)}
    arrays |= {"last_hidden_state": double.last_hidden_state, "output": double.output}
    arrays |= {f"attention {path}": weights for path, weights in double.attention.items()}
    for path, stage in double.stages.items():
        arrays[f"float32_error {path}"] = np.array(relative_error(single.stages[path], stage))
    np.savez_compressed(folder / "stages.npz", **arrays)  # type: ignore[arg-type]  # names with spaces are keywords too


def bundled_clips(data: Path) -> list[dict[str, str]]:
    """The rows of clips.tsv."""
    with open(data / "clips.tsv", encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))


def weights_digest(folder: Path) -> str:
    """SHA-256 of model.safetensors: the goldens of other weights are worth nothing."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def record_bundled(data: Path, target: Path) -> None:
    """Write the bundled model's text per clip, and sketches of its stages on two short test clips."""
    import soundfile
    import torch

    from weights_tools import reference

    folder = data / "small-ctc"
    clips = bundled_clips(data)
    waveforms = {}
    transcriber = reference.Transcriber(folder)
    text = {}
    for clip in clips:
        samples, rate = soundfile.read(data / clip["path"], dtype="float32")
        if rate != transcriber.extractor.sampling_rate or samples.ndim != 1:
            raise SystemExit(f"{clip['path']}: {rate} Hz, shape {samples.shape}: expected the model's rate, mono")
        waveforms[clip["path"]] = samples
        text[clip["path"]] = transcriber.text(transcriber.logits(samples))
    digest = weights_digest(folder)
    golden = {"model.safetensors sha256": digest, "text": text}
    write_whole(target / "bundled.json", json.dumps(golden, ensure_ascii=False, indent=1) + "\n")

    shortest: dict[str, str] = {}
    for clip in sorted(clips, key=lambda clip: (len(waveforms[clip["path"]]), clip["path"])):
        if clip["split"] == "test":
            shortest.setdefault(clip["lang"], clip["path"])
    arrays = {}
    model = reference.load_reference(folder, torch.float64)
    for path in list(shortest.values())[:2]:
        values = reference.input_values(waveforms[path], torch.float64, transcriber.extractor)
        for stage, numbers in sketches(reference.run_reference(model, values).stages).items():
            arrays[f"{path} {stage}"] = numbers
    np.savez_compressed(target / "bundled.npz", **arrays)  # type: ignore[arg-type]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bundled", action="store_true", help="record the bundled model instead of the random ones")
    parser.add_argument("--only", choices=MODELS, help="one of the random models")
    parser.add_argument(
        "--any-version", action="store_true", help="record with whatever torch and transformers are here"
    )
    parser.add_argument(
        "--target", type=Path, default=ROOT / "tests" / "golden", help="folder to write (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, default=ROOT / "xlsr_ref" / "data", help="folder of the bundled model and clips"
    )
    args = parser.parse_args(argv)
    found = {package: version(package).partition("+")[0] for package in NEEDED}
    if found != NEEDED and not args.any_version:
        print(f"record_goldens: found {found}, the goldens are made with {NEEDED}", file=sys.stderr)
        return 1
    import torch

    torch.set_num_threads(1)  # sums in the same order on every machine
    args.target.mkdir(parents=True, exist_ok=True)
    if args.bundled:
        record_bundled(args.data, args.target)
    else:
        for name in [args.only] if args.only else MODELS:
            record_small(name, args.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
