"""The folder of the kit: a tiny model, its inputs, what each stage gives in float64, and a README that says how.

    model/          config.json, model.safetensors (float32), vocab.json, preprocessor_config.json
    inputs.npz      samples (L,) float32, targets (S,) int64          binary/samples.f32, binary/targets.i64
    stages.npz      every stage by name, float64                      binary/NAME.f64
    stages.json     the stages in their order: name, shape, file      little-endian, row-major, no header

The same seed writes the same bytes. The weights are drawn so that small things show: variances near 1e-4, where the
1e-5 of a norm counts, a quiet waveform, an even kernel, four groups, three heads, a target that comes twice in a row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.safetensors_file import write_arrays
from xlsr_ref.errors import XlsrError
from xlsr_ref.files import whole_folder
from xlsr_ref.teach.conformance import network
from xlsr_ref.untrusted import shown
from xlsr_ref.version import __version__
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import expected_shapes

CONFIG: dict[str, Any] = {
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "conv_dim": (12, 16, 16),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "layer_norm_eps": 1e-5,
    "vocab_size": 9,
    "pad_token_id": 0,
}
LENGTH = 500  # samples
TARGETS = (1, 3, 3, 2, 5, 1, 7)
README = """A conformance kit for wav2vec 2.0 (XLSR), written by xlsr-ref {version}

  model/        a tiny model with random weights: config.json, model.safetensors (float32), as
                transformers and xlsr-ref load it
  inputs.npz    samples ({length},) float32; targets ({targets},), tokens; the blank is token 0
  stages.npz    what each stage gives in float64, by name
  stages.json   the stages in the order of the network: name, shape, file
  binary/       the same as plain numbers, without a header: little-endian, row-major (C order);
                .f32 and .f64 are IEEE 754 floats, .i64 are signed whole numbers

Write the network in your language, run it on the samples, and put what your stages give into a
folder, each as NAME.f32 or NAME.f64 in the same layout, or into one .npz file, by name. Stages may be
left out. Then

  xlsr-ref conformance check THIS_FOLDER YOUR_FOLDER

names the first stage that departs and, where it is known, the mistake that gives those numbers.

The stages, in their order ((T, C): a row for each frame):

{stages}

The names are those of the weights: "wav2vec2." stands before them in model.safetensors, but for
lm_head. waveform is the normalised recording; feature_extractor.conv_layers.N is the output of a
convolution, its norm and GELU; encoder.pos_conv_embed.conv.weight is the kernel after weight norm;
encoder.layers.N.attention and .feed_forward are what is added to x there, encoder.layers.N is x after
both. ctc_loss is one number, -ln p(targets); ctc_loss.dlogits is its gradient with respect to lm_head.
"""


def write(folder: str | Path, seed: int = 0) -> Path:
    """Write the kit into a new ``folder``, or one that is empty, and return its path. Raises XlsrError."""
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise XlsrError(f"{shown(place)} is there already: give a new folder for the kit")
    samples, weights = inputs(seed)
    values = network.stages(samples.astype(np.float64), in_float64(weights), CONFIG, TARGETS)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(place, replace=True) as unfinished:
            _write_model(unfinished / "model", weights)
            _write_numbers(unfinished, samples, values)
    except OSError as error:
        raise XlsrError(f"{shown(place)} cannot be written: {error.strerror or error}") from None
    return place


def inputs(seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The samples (L,) and the weights by name, both float32, without "wav2vec2." in front."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes(Config(**CONFIG), "Wav2Vec2ForCTC", prefix="").items():
        weights[name] = _drawn(name, shape, rng).astype(np.float32)
    t = np.arange(LENGTH) / 16000
    tones = np.sin(2 * np.pi * 300 * t) + 0.5 * np.sin(2 * np.pi * (900 + 4000 * t) * t)
    quiet = 6e-4 * (tones + 0.4 * rng.standard_normal(LENGTH) + 0.3)
    return quiet.astype(np.float32), weights


def in_float64(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in weights.items()}


def _drawn(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    normal = rng.standard_normal(shape)
    if "layer_norm.weight" in name or name.endswith("original0"):
        return 1 + 0.3 * normal
    if ".conv_layers." in name and ".conv." in name:
        return 0.003 * normal  # so that variances are near 1e-4
    if name.endswith("bias"):
        return 0.3 * normal
    return 1.2 * normal / np.sqrt(np.prod(shape[1:]) or 1)


def _write_model(folder: Path, weights: dict[str, np.ndarray]) -> None:
    folder.mkdir()
    named = {name if name.startswith("lm_head.") else f"wav2vec2.{name}": array for name, array in weights.items()}
    write_arrays(folder / "model.safetensors", named)
    own = {"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "dtype": "float32", **CONFIG}
    tokens = ["<pad>", *"abcdefg", "|"]
    files: dict[str, dict[str, Any]] = {
        "config.json": own | {"bos_token_id": None, "eos_token_id": None},
        "vocab.json": {token: id for id, token in enumerate(tokens)},
        "tokenizer_config.json": {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>"},
        "preprocessor_config.json": {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "do_normalize": True,
            "feature_size": 1,
            "padding_value": 0.0,
            "return_attention_mask": True,
            "sampling_rate": 16000,
        },
    }
    for name, content in files.items():
        _write_text(folder / name, json.dumps(content, indent=1) + "\n")


def _write_numbers(folder: Path, samples: np.ndarray, values: dict[str, np.ndarray]) -> None:
    targets = np.array(TARGETS, np.int64)
    np.savez(folder / "inputs.npz", samples=samples, targets=targets)
    np.savez(folder / "stages.npz", **values)  # type: ignore[arg-type]  # a name is never allow_pickle
    (folder / "binary").mkdir()
    (folder / "binary" / "samples.f32").write_bytes(samples.astype("<f4").tobytes())
    (folder / "binary" / "targets.i64").write_bytes(targets.astype("<i8").tobytes())
    listed = []
    for name, value in values.items():
        (folder / "binary" / f"{name}.f64").write_bytes(value.astype("<f8").tobytes(order="C"))
        listed.append({"name": name, "shape": list(value.shape), "file": f"binary/{name}.f64"})
    layout = {"dtype": "float64", "byte_order": "little", "order": "row-major"}
    _write_text(folder / "stages.json", json.dumps(layout | {"stages": listed}, indent=1) + "\n")
    rows = "\n".join(f"  {name:40} {value.shape}" for name, value in values.items())
    text = README.format(version=__version__, length=len(samples), targets=len(targets), stages=rows)
    _write_text(folder / "README.txt", text)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
