"""Record what transformers computes above the encoder: heads that classify, and both kinds of adapters.

    python -m weights_tools.record_heads              # small random models -> tests/golden/heads/<name>/

Needs the versions of record_goldens.py; the same versions write the same files. A folder holds the model as
transformers saves it and stages.npz: the waveform, every stage above the encoder in float64 ("stage <module path>"),
the output, and how far torch's own float32 is from that, relative to the largest value ("float32_error"). Besides:

    recording   "output transformers 4": with the final norm over the last state of the weighted layer sum
    voices      "embedding"
    languages   adapter.<code>.safetensors and a vocabulary for each of two languages; "output <code>", "text <code>"
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from weights_tools.record_goldens import NEEDED, ROOT, speech_like
from xlsr_ref.checkpoint.compare import relative_error

SAMPLES = 4321
XLSR = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, "layer_norm_eps": 1e-3}
BASE = {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False, "layer_norm_eps": 1e-5}
SMALL = {  # sizes differ wherever they may: a swapped axis is an error then
    "conv_dim": (5, 8, 6),
    "conv_kernel": (12, 5, 4),
    "conv_stride": (6, 5, 4),
    "hidden_size": 18,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
LABELS = {"id2label": {0: "yes", 1: "no", 2: "up", 3: "down"}, "label2id": {"yes": 0, "no": 1, "up": 2, "down": 3}}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "recording": (
        "Wav2Vec2ForSequenceClassification",
        XLSR | SMALL | LABELS | {"use_weighted_layer_sum": True, "classifier_proj_size": 11},
    ),
    "frames": ("Wav2Vec2ForAudioFrameClassification", BASE | SMALL | LABELS),
    "voices": (
        "Wav2Vec2ForXVector",
        BASE
        | SMALL
        | {"use_weighted_layer_sum": True, "num_labels": 3, "xvector_output_dim": 9}
        | {"tdnn_dim": (7, 8, 10), "tdnn_kernel": (3, 2, 1), "tdnn_dilation": (2, 3, 1)},
    ),
    "convolutions": (
        "Wav2Vec2ForCTC",
        BASE
        | SMALL
        | {"add_adapter": True, "output_hidden_size": 14, "num_adapter_layers": 2, "adapter_kernel_size": 4}
        | {"adapter_stride": 3, "vocab_size": 7},
    ),
    "languages": ("Wav2Vec2ForCTC", XLSR | SMALL | {"adapter_attn_dim": 5, "vocab_size": 7}),
}
TOKENS = {"eng": "abc", "fra": "àbcdé"}  # after <pad>, <s>, </s>, <unk> and |, without the ones of the last
STAGE = re.compile(r"(^|\.)(adapter\.(proj_layer_norm|layers\.\d+)|lm_head|projector|tdnn\.\d+|classifier)$")
STAGE_OF_A_VOICE = re.compile(r"^feature_extractor$")


def record(name: str, target: Path) -> None:
    """Write one small random model and what it computes into ``target``/``name``."""
    import torch

    from weights_tools import reference

    kind, config = MODELS[name]
    rng = np.random.default_rng(list(name.encode()))
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    random_model(kind, config, rng).save_pretrained(folder)
    waveform = speech_like(SAMPLES, rng)
    if name == "languages":
        write_languages(folder, rng)
    runs = {}
    for dtype in (torch.float64, torch.float32):
        values = reference.input_values(waveform, dtype, reference.load_extractor(folder))
        runs[dtype] = run(name, folder, values, dtype)
    double, single = runs[torch.float64], runs[torch.float32]
    arrays: dict[str, np.ndarray] = {"waveform": waveform, **double}
    for key in ("output", *(key for key in double if key.startswith("output "))):
        error = np.array(relative_error(single[key], double[key]))
        arrays[f"float32_error{key.removeprefix('output')}"] = error
    np.savez_compressed(folder / "stages.npz", **arrays)  # type: ignore[arg-type]  # names with spaces are keywords too


def random_model(kind: str, config: dict[str, Any], rng: np.random.Generator) -> Any:
    """As reference.random_model makes one, of every kind."""
    import torch
    import transformers

    from weights_tools import reference

    model = getattr(transformers, kind)(transformers.Wav2Vec2Config(**config, attn_implementation="eager"))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = reference.random_parameter(name, tuple(parameter.shape), rng)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return model.eval()


def open_model(folder: Path, dtype: Any, **options: Any) -> Any:
    """The model of a folder, as transformers reads it."""
    import transformers

    (kind,) = transformers.Wav2Vec2Config.from_pretrained(folder).architectures
    model = getattr(transformers, kind).from_pretrained(folder, dtype=dtype, attn_implementation="eager", **options)
    return model.eval()


def run(name: str, folder: Path, values: Any, dtype: Any) -> dict[str, np.ndarray]:
    """The output of one utterance (1, samples) and the stages above the encoder, by their module paths."""
    import torch

    model = open_model(folder, dtype)
    found: dict[str, np.ndarray] = {}
    if name == "recording":
        with torch.no_grad():
            found["output transformers 4"] = as_transformers_4(model, values)[0].numpy()
    for path, module in model.named_modules():
        if STAGE.search(path) or (name == "voices" and STAGE_OF_A_VOICE.search(path)):
            module.register_forward_hook(_keep(found, path))
    with torch.no_grad():
        out = model(values)
        found["output"] = out.logits[0].numpy()
        if name == "voices":
            found["embedding"] = out.embeddings[0].numpy()
        for code in TOKENS if name == "languages" else ():
            logits = open_model(folder, dtype, target_lang=code)(values).logits[0].numpy()
            found[f"output {code}"], found[f"text {code}"] = logits, np.array(text(folder, code, logits))
    return found


def as_transformers_4(model: Any, values: Any) -> Any:
    """The scores of a pre-norm model by what hidden states were in transformers 4: the last one after the norm."""
    import torch

    out = model.wav2vec2(values, output_hidden_states=True)
    states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])
    summed = (states * model.layer_weights.softmax(-1)[:, None, None, None]).sum(dim=0)
    return model.classifier(model.projector(summed).mean(dim=1))


def write_languages(folder: Path, rng: np.random.Generator) -> None:
    """An adapter file for each language, random, and their nested vocabulary. The model's own is that of neither."""
    from safetensors.numpy import load_file, save_file

    from weights_tools import reference

    shapes = {name: array.shape for name, array in load_file(folder / "model.safetensors").items()}
    vocabulary = {}
    for code, letters in TOKENS.items():
        tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *letters]
        vocabulary[code] = {token: number for number, token in enumerate(tokens)}
        adapter = {}
        for name, shape in sorted(shapes.items()):
            if ".adapter_layer." in name or name.startswith("lm_head."):
                shape = (len(tokens), *shape[1:]) if name.startswith("lm_head.") else shape
                adapter[name] = reference.random_parameter(name, shape, rng).astype(np.float32)
        save_file(adapter, folder / f"adapter.{code}.safetensors", metadata={"format": "pt"})
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    options = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "target_lang": "eng"}
    (folder / "tokenizer_config.json").write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")


def text(folder: Path, code: str, logits: np.ndarray) -> str:
    """What transformers' tokenizer of a language reads off the logits."""
    from transformers import Wav2Vec2CTCTokenizer

    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder, target_lang=code)
    return tokenizer.decode(logits.argmax(axis=-1).tolist())


def _keep(found: dict[str, np.ndarray], path: str) -> Any:
    def hook(module: Any, inputs: Any, output: Any) -> None:
        frames_first = output[0].T if ".adapter.layers." in f".{path}" else output[0]  # they put out (C, T)
        found[f"stage {path}"] = frames_first.numpy().copy()

    return hook


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=MODELS, help="one of the models")
    parser.add_argument(
        "--any-version", action="store_true", help="record with whatever torch and transformers are here"
    )
    parser.add_argument(
        "--target",
        type=Path,
        default=ROOT / "tests" / "golden" / "heads",
        help="folder to write (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    found = {package: version(package).partition("+")[0] for package in NEEDED}
    if found != NEEDED and not args.any_version:
        print(f"record_heads: found {found}, the goldens are made with {NEEDED}", file=sys.stderr)
        return 1
    import torch

    torch.set_num_threads(1)  # sums in the same order on every machine
    for name in [args.only] if args.only else MODELS:
        record(name, args.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
