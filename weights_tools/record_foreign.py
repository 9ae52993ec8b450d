"""Record checkpoints as other programs write them, so that the readers are tested on real files without those programs.

    python -m weights_tools.record_foreign torch      pytorch_model.bin of today and of torch before 1.6
    python -m weights_tools.record_foreign fairseq    fairseq's nesting, configs pickled by omegaconf, argparse, enum
    python -m weights_tools.record_foreign flax       flax_model.msgpack, by flax and the last transformers that had it

They go to tests/golden/foreign/. The weights are those of tests/golden/xlsr, base and bare, so a test compares bytes.
`torch` needs torch 2.13.0; `fairseq` that and omegaconf (2.3.0 for fairseq_ctc/, 2.0.6 for fairseq_ctc_old/); `flax`
needs transformers 4.57.3, flax 0.12.8, jax, torch and omegaconf none. Record in environments of their own: nothing here
belongs to the tests' requirements. fairseq itself is not needed: its classes are made under their names, since a pickle
holds nothing of a class but its name and its instances' state.
"""

from __future__ import annotations

import argparse
import enum
import shutil
import sys
import tempfile
import types
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
SYMBOLS = ["|", "E", "T", "A", "O", "N", "I"]  # with the four special ones as many as golden/xlsr's head has rows
MORE_SYMBOLS = [*SYMBOLS, "H", "S"]  # golden/base has 13


def record_torch(target: Path) -> None:
    """pytorch_model.bin: whole, in two shards, and as it was written before 1.6 with the old names of weight norm."""
    import json

    import torch
    from safetensors.torch import load_file

    xlsr, base = (load_file(GOLDEN / name / "model.safetensors") for name in ("xlsr", "base"))
    modern = _folder(target / "torch", "xlsr")
    state = OrderedDict((name, xlsr[name]) for name in sorted(xlsr))
    state._metadata = OrderedDict([("", {"version": 1}), ("wav2vec2", {"version": 1})])  # type: ignore[attr-defined]
    torch.save(state, modern / "pytorch_model.bin")
    old = _folder(target / "torch_old", "base")
    spelled = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, classic in spelled.items():
        base = {name.replace(new, classic): tensor for name, tensor in base.items()}
    torch.save(OrderedDict(sorted(base.items())), old / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    odd = target / "odd"
    odd.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = odd_tensors()
    for name, modern_format in (("odd.bin", True), ("odd_old.bin", False)):
        torch.save(tensors, odd / name, _use_new_zipfile_serialization=modern_format)
    plain = {
        name: tensor.detach().contiguous().flatten().view(torch.uint8).tolist() for name, tensor in tensors.items()
    }
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    (odd / "odd.json").write_text(json.dumps({"bytes": plain, "shapes": shapes}) + "\n", encoding="utf-8")


def odd_tensors() -> dict[str, Any]:
    """Every dtype, and views of all kinds on shared storages."""
    import torch

    block = torch.arange(24.0).reshape(2, 3, 4)
    dtypes = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {
        f"dtype.{name}": (torch.randn(5) * 9).to(getattr(torch, name)) for name in (*dtypes, "complex64", "uint16")
    }
    tensors |= {"view.whole": block, "view.transposed": block.transpose(0, 2), "view.cut": block[1:, 1:, ::2]}
    tensors |= {"view.row": block[1, 2], "view.number": block[1, 1, 1], "view.repeated": torch.ones(1).expand(5)}
    return tensors | {"empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(torch.randn(2, 2))}


def record_flax(target: Path) -> None:
    """flax_model.msgpack of golden/xlsr, as transformers' Flax model saves it."""
    from transformers import FlaxWav2Vec2ForCTC

    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        _weights_of_torch("xlsr", source)
        model = FlaxWav2Vec2ForCTC.from_pretrained(source, from_pt=True)
        folder = _folder(target / "flax", "xlsr")
        model.save_pretrained(source / "saved")
        shutil.copy(source / "saved" / "flax_model.msgpack", folder)


def _weights_of_torch(name: str, target: Path) -> None:
    """A golden model as pytorch_model.bin, with the names of weight norm that transformers' Flax code knows."""
    import torch
    from safetensors.torch import load_file

    state = load_file(GOLDEN / name / "model.safetensors")
    for new, classic in (("original0", "weight_g"), ("original1", "weight_v")):
        state = {key.replace(f"parametrizations.weight.{new}", classic): tensor for key, tensor in state.items()}
    torch.save(state, target / "pytorch_model.bin")
    shutil.copy(GOLDEN / name / "config.json", target)


# --- fairseq ---------------------------------------------------------------------------------------------------------


def record_fairseq(target: Path) -> None:
    """Fine-tuned and pretrained checkpoints, with the config of the omegaconf that is installed."""
    import numpy as np
    import omegaconf
    import torch
    from safetensors.torch import load_file

    from xlsr_ref.checkpoint.names import canonical, to_scheme

    fairseq = _fairseq_classes()
    modern = not omegaconf.__version__.startswith("2.0")
    name, symbols = ("xlsr", SYMBOLS) if modern else ("base", MORE_SYMBOLS)
    folder = target / ("fairseq_ctc" if modern else "fairseq_ctc_old")
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(GOLDEN / name / "model.safetensors")
    ours = canonical(sorted(weights))
    theirs = to_scheme(ours.values(), "fairseq", "Wav2Vec2ForCTC", group_norm=name == "base")
    state = OrderedDict((theirs[ours[key]], weights[key]) for key in sorted(weights))
    for new, classic in (("original0", "weight_g"), ("original1", "weight_v")):
        state = OrderedDict((k.replace(f"parametrizations.weight.{new}", classic), v) for k, v in state.items())
    pretraining = network_settings(GOLDEN / name)
    network: Any = argparse.Namespace(**pretraining, data="/data", task="audio_pretraining")
    if modern:
        network = {"_name": None, "model": {"_name": "wav2vec2", **pretraining}, "task": {"normalize": True}}
        network["model"]["extractor_mode"] = fairseq.ExtractorMode.layer_norm
    cfg = _fine_tuning(
        fairseq, network if modern else omegaconf.OmegaConf.create({"model": pretraining, "task": {}}), modern
    )
    dictionary = fairseq.Dictionary(symbols)
    saved = {
        "args": None,
        "cfg": cfg,
        "model": state,
        "optimizer_history": [
            {"optimizer_name": "FairseqAdam", "lr_scheduler_state": {"best": None}, "num_updates": 7}
        ],
        "extra_state": {
            "epoch": 3,
            "val_loss": np.float64(1.5),
            "metrics": OrderedDict(
                [("default", [(10, "loss", "AverageMeter", {"val": torch.tensor(2.0), "round": 3})])]
            ),
            "counts": defaultdict(int, {"a": 1}),
            "names": {"a", "b"},
        },
        "task_state": {"target_dictionary": dictionary},
        "last_optimizer_state": {
            "state": {0: {"step": 7, "exp_avg": torch.zeros(2)}},
            "param_groups": [{"betas": (0.9, 0.98)}],
        },
    }
    torch.save(saved, folder / "checkpoint.pt", _use_new_zipfile_serialization=modern)
    lines = [f"{symbol} {100 - i}\n" for i, symbol in enumerate(symbols)]
    (folder / "dict.ltr.txt").write_text("".join(lines), encoding="utf-8")
    if modern:
        record_pretrained(target, fairseq)


def _fine_tuning(fairseq: types.SimpleNamespace, network: Any, modern: bool) -> Any:
    """The settings of fine-tuning, with those of the ``network`` that was pretrained inside."""
    import omegaconf

    cfg = omegaconf.OmegaConf.create(
        {
            "common": {"seed": 1, "fp16": True, "path": None},
            "model": {"_name": "wav2vec_ctc", "w2v_path": "/x.pt", "normalize": "${task.normalize}", "layerdrop": 0.05,
                      "mask_prob": 0.65, "mask_length": 10, "final_dropout": 0.0, "data": "${task.data}"},
            "task": {"_name": "audio_finetuning", "data": "/data", "labels": "ltr", "normalize": modern,
                     "mode": fairseq.ExtractorMode.layer_norm},
        }
    )  # fmt: skip
    omegaconf.OmegaConf.set_struct(cfg, False)
    cfg.model.w2v_args = network
    return cfg


def record_pretrained(target: Path, fairseq: types.SimpleNamespace) -> None:
    """A pretrained model with its quantizer, settings in an argparse Namespace, in the format before 1.6."""
    import torch
    from safetensors.torch import load_file

    from xlsr_ref.checkpoint.names import canonical, to_scheme

    weights = load_file(GOLDEN / "bare" / "model.safetensors")
    state = {ours: weights[name] for name, ours in canonical(weights).items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state |= {"quantizer.codevectors": torch.rand(1, 6, 4), "quantizer.weight_proj.weight": torch.randn(6, 6)}
        state |= {"quantizer.weight_proj.bias": torch.randn(6), "project_q.weight": torch.randn(5, 8)}
        state |= {"project_q.bias": torch.randn(5), "project_hid.weight": torch.randn(5, 18)}
        state |= {"project_hid.bias": torch.randn(5)}
    theirs = to_scheme(state, "fairseq", "Wav2Vec2ForPreTraining")
    named = OrderedDict((theirs[name], tensor) for name, tensor in state.items())
    args = argparse.Namespace(
        arch="wav2vec2", extractor_mode="layer_norm", conv_feature_layers="[(5, 12, 6), (8, 5, 5)] + [(6, 4, 4)] * 1",
        conv_bias=False, encoder_layers=2, encoder_embed_dim=18, encoder_ffn_embed_dim=29, encoder_attention_heads=1,
        layer_norm_first=False, conv_pos=3, conv_pos_groups=18, latent_vars=3, latent_groups=2, latent_dim=0,
        final_dim=5, num_negatives=20, logit_temp=0.1, normalize=True, mask_prob=0.65, target_glu=False,
    )  # fmt: skip
    folder = target / "fairseq_pretrained"
    folder.mkdir(parents=True, exist_ok=True)
    saved = {"args": args, "model": named, "extra_state": {"epoch": 1}}
    torch.save(saved, folder / "checkpoint.pt", _use_new_zipfile_serialization=False)


def network_settings(folder: Path) -> dict[str, Any]:
    """fairseq's names for the config of a model folder."""
    import json

    from weights_tools.record_goldens import RELEASED

    config = RELEASED | json.loads((folder / "config.json").read_text(encoding="utf-8"))  # which may leave them out
    layers = list(zip(config["conv_dim"], config["conv_kernel"], config["conv_stride"]))
    return {
        "extractor_mode": "layer_norm" if config["feat_extract_norm"] == "layer" else "default",
        "conv_feature_layers": " + ".join(f"[{layer}]" for layer in layers),
        "conv_bias": config["conv_bias"],
        "encoder_layers": config["num_hidden_layers"],
        "encoder_embed_dim": config["hidden_size"],
        "encoder_ffn_embed_dim": config["intermediate_size"],
        "encoder_attention_heads": config["num_attention_heads"],
        "layer_norm_first": config["do_stable_layer_norm"],
        "conv_pos": config["num_conv_pos_embeddings"],
        "conv_pos_groups": config["num_conv_pos_embedding_groups"],
        "activation_fn": "gelu",
        "dropout": 0.0,
        "latent_vars": 320,
        "target_glu": False,
    }


def _fairseq_classes() -> types.SimpleNamespace:
    """Two classes under fairseq's names, for pickles to mention."""

    class ExtractorMode(enum.Enum):
        default = "default"
        layer_norm = "layer_norm"

    class Dictionary:
        def __init__(self, symbols: list[str]) -> None:
            self.bos_word, self.unk_word, self.pad_word, self.eos_word = "<s>", "<unk>", "<pad>", "</s>"
            self.symbols = ["<s>", "<pad>", "</s>", "<unk>", *symbols]
            self.count = [1] * len(self.symbols)
            self.indices = {symbol: number for number, symbol in enumerate(self.symbols)}
            self.bos_index, self.pad_index, self.eos_index, self.unk_index, self.nspecial = 0, 1, 2, 3, 4

    homes = {"fairseq.dataclass.constants": ExtractorMode, "fairseq.data.dictionary": Dictionary}
    for home, made in homes.items():
        for end in range(1, home.count(".") + 2):
            part = ".".join(home.split(".")[:end])
            sys.modules.setdefault(part, types.ModuleType(part))
        made.__module__, made.__qualname__ = home, made.__name__
        setattr(sys.modules[home], made.__name__, made)
    return types.SimpleNamespace(ExtractorMode=ExtractorMode, Dictionary=Dictionary)


def _folder(target: Path, name: str) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(GOLDEN / name / "config.json", target)
    return target


RECORDERS = {"torch": record_torch, "fairseq": record_fairseq, "flax": record_flax}


def main(arguments: list[str] | None = None) -> None:
    """The command line: record one program's files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=RECORDERS)
    parser.add_argument("--target", type=Path, default=GOLDEN / "foreign")
    chosen = parser.parse_args(arguments)
    chosen.target.mkdir(parents=True, exist_ok=True)
    RECORDERS[chosen.program](chosen.target)


if __name__ == "__main__":
    main()
