"""fairseq's settings and dictionaries, as config.json and vocab.json.

A fairseq checkpoint is {"model": tensors, "cfg" or "args": settings, "task_state": …}. The settings of the network are
cfg.model; a fine-tuned model keeps those of its pretraining one level deeper, in cfg.model.w2v_args. They were pickled
as objects of argparse, omegaconf and enum, which unpickle.py left as Records; here they become plain values.
conv_feature_layers is Python, "[(512, 10, 5)] + [(512, 3, 2)] * 4": it is read as arithmetic of lists, never run.

The dictionary numbers <s> 0, <pad> 1, </s> 2, <unk> 3, then its lines. fairseq's CTC blank is <s>; transformers' is
<pad>: so the two swap their ids, as in every converted model.
Where: fairseq/models/wav2vec/wav2vec2.py, wav2vec2_asr.py, fairseq/data/dictionary.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xlsr_ref.checkpoint.tensors import Tensor, Tensors
from xlsr_ref.checkpoint.unpickle import Global, Record
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import LONGEST_JSON, brief, listed, read_text, shown

MOST_VALUES, DEEPEST, MOST_CONVS = 100_000, 40, 64
FIELDS = {  # fairseq's name → config.json's
    "encoder_embed_dim": "hidden_size",
    "encoder_layers": "num_hidden_layers",
    "encoder_ffn_embed_dim": "intermediate_size",
    "encoder_attention_heads": "num_attention_heads",
    "layer_norm_first": "do_stable_layer_norm",
    "conv_bias": "conv_bias",
    "conv_pos": "num_conv_pos_embeddings",
    "conv_pos_groups": "num_conv_pos_embedding_groups",
    "activation_fn": "hidden_act",
    "latent_vars": "num_codevectors_per_group",
    "latent_groups": "num_codevector_groups",
    "num_negatives": "num_negatives",
    "logit_temp": "contrastive_logits_temperature",
    "dropout_features": "feat_quantizer_dropout",
}
REGULARISERS = {  # of the last training: a fine-tuned model's own settings come before those of its pretraining
    "dropout": "hidden_dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "dropout_input": "feat_proj_dropout",
    "final_dropout": "final_dropout",
    "encoder_layerdrop": "layerdrop",
    "layerdrop": "layerdrop",
    "mask_prob": "mask_time_prob",
    "mask_length": "mask_time_length",
    "mask_channel_prob": "mask_feature_prob",
    "mask_channel_length": "mask_feature_length",
}
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # the first four of every dictionary
LAYER_TYPES = (None, "transformer", "trf_adp")  # the last has adapters (MMS)
ADAPTERS = {  # what fairseq calls the parts of an adapter, of which the first axis is the language
    "W_a": "linear_1.weight",
    "b_a": "linear_1.bias",
    "W_b": "linear_2.weight",
    "b_b": "linear_2.bias",
    "ln_W": "norm.weight",
    "ln_b": "norm.bias",
}
NOT_IMPLEMENTED = {  # settings that make another network of it, and the value that does not
    "target_glu": False,
    "quantize_input": False,
    "pos_conv_depth": 1,
    "quantizer_depth": 1,
    "adp_act_fn": "relu",
    "adp_trf_idx": "all",
    "pos_enc_type": "abs",
    "conv_pos_batch_norm": False,
    "combine_groups": False,
}


# --- Records → plain values ------------------------------------------------------------------------------------------


def plain(value: Any, spent: list[int] | None = None, depth: int = 0) -> Any:
    """Dicts, lists, texts and numbers for what was pickled; an enum's member is its value. The rest is None."""
    spent = [0] if spent is None else spent
    spent[0] += 1
    if spent[0] > MOST_VALUES or depth > DEEPEST:
        raise WeightsError("the settings in the checkpoint are nested too deeply, or in a circle: refused")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {key: plain(item, spent, depth + 1) for key, item in value.items() if isinstance(key, str)}
    if isinstance(value, list | tuple):
        return [plain(item, spent, depth + 1) for item in value]
    if not isinstance(value, Record):
        return None
    state, package = value.state, value.kind.module.split(".")[0]
    if isinstance(state, dict):
        if package == "omegaconf":  # a container's _content, a node's _val
            inner = state.get("_content", state.get("_val"))
            return plain(inner, spent, depth + 1)
        return plain(state, spent, depth + 1)
    if package == "pathlib" and all(isinstance(part, str) for part in value.arguments):
        return "/".join(value.arguments)
    if package == "fairseq" and len(value.arguments) == 1:  # an enum's member: its value, or its name
        return plain(value.arguments[0], spent, depth + 1)
    return None


def settings_of(beside: Mapping[str, Any]) -> dict[str, Any]:
    """{"model": …, "task": …} from what fairseq saved beside the tensors: cfg, or args of older versions; or {}."""
    cfg = plain(beside.get("cfg"))
    if isinstance(cfg, dict) and isinstance(cfg.get("model"), dict):
        return _resolved(cfg)
    args = plain(beside.get("args"))
    if isinstance(args, dict) and args:  # one flat list of options
        return {"model": args, "task": args}
    return {}


def _resolved(cfg: dict[str, Any]) -> dict[str, Any]:
    """``cfg`` with each "${a.b.c}" of its model and task replaced by the value that stands there."""

    def lookup(text: str) -> Any:
        value: Any = text
        for _ in range(10):
            match = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
            if match is None:
                return value
            value = cfg
            for part in match[1].split("."):
                value = value.get(part) if isinstance(value, dict) else None
        return None

    def walk(value: Any) -> Any:
        return {key: walk(item) for key, item in value.items()} if isinstance(value, dict) else lookup(value)

    return {key: walk(cfg[key]) for key in ("model", "task") if isinstance(cfg.get(key), dict)}


# --- settings → config.json ------------------------------------------------------------------------------------------


def config_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of config.json that fairseq's settings give. Raises WeightsError for another kind of network."""
    outer = settings.get("model")
    if not isinstance(outer, dict):
        return {}
    inner = outer.get("w2v_args")
    if isinstance(inner, dict):
        inner = inner["model"] if isinstance(inner.get("model"), dict) else inner
    network = inner if isinstance(inner, dict) and inner else outer
    odd = [
        f"{name}={network[name]}" for name, usual in NOT_IMPLEMENTED.items() if network.get(name) not in (None, usual)
    ]
    if network.get("layer_type") not in LAYER_TYPES:
        odd.append(f"layer_type={network['layer_type']}")
    if odd:
        raise WeightsError(f"fairseq's settings ask for {listed(odd)}: such a network is not implemented")
    config = {ours: network[theirs] for theirs, ours in FIELDS.items() if network.get(theirs) is not None}
    regularisers = {k: v for k, v in network.items() if v is not None}
    regularisers |= {k: v for k, v in outer.items() if v is not None}
    config |= {
        ours: regularisers[theirs]
        for theirs, ours in REGULARISERS.items()
        if isinstance(regularisers.get(theirs), int | float) and not isinstance(regularisers[theirs], bool)
    }
    mode = network.get("extractor_mode")
    if mode is not None:
        if mode not in ("default", "layer_norm"):
            raise WeightsError(f"fairseq's settings have extractor_mode={brief(mode)}: known are default, layer_norm")
        config["feat_extract_norm"] = "layer" if mode == "layer_norm" else "group"
    if network.get("conv_feature_layers") is not None:
        layers = conv_layers(network["conv_feature_layers"])
        config |= {"conv_dim": [d for d, _, _ in layers], "conv_kernel": [k for _, k, _ in layers]}
        config |= {"conv_stride": [s for _, _, s in layers], "num_feat_extract_layers": len(layers)}
    for ours, theirs in (("proj_codevector_dim", "final_dim"), ("codevector_dim", "latent_dim")):
        if type(network.get(theirs)) is int and network[theirs] > 0:  # 0: as wide as something else, the shapes tell
            config[ours] = network[theirs]
    return config


def normalize_of(settings: Mapping[str, Any]) -> bool | None:
    """Whether the waveform is normalised, as the task's settings say; None where they do not."""
    task = settings.get("task")
    value = task.get("normalize") if isinstance(task, dict) else None
    return value if isinstance(value, bool) else None


def conv_layers(text: Any) -> list[tuple[int, int, int]]:
    """(channels, kernel, stride) of each convolution, from fairseq's "[(512, 10, 5)] + [(512, 3, 2)] * 4"."""
    layers: Any = None
    if isinstance(text, list):
        layers = [tuple(layer) if isinstance(layer, list) else layer for layer in text]
    elif isinstance(text, str) and len(text) <= 2000:
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            layers = _arithmetic(ast.parse(text.strip(), mode="eval").body)
    sized = isinstance(layers, list) and 0 < len(layers) <= MOST_CONVS
    if not sized or not all(isinstance(layer, tuple) and len(layer) == 3 and _sizes(layer) for layer in layers):
        raise WeightsError(
            f"fairseq's conv_feature_layers is {brief(text)}: expected lists of (channels, kernel, stride)"
        )
    return layers


def _sizes(numbers: tuple) -> bool:
    return all(type(n) is int and 0 < n < 2**20 for n in numbers)


def _arithmetic(node: ast.AST) -> Any:
    """Lists of tuples of whole numbers, added and multiplied: nothing else. Raises ValueError."""
    if isinstance(node, ast.Constant) and _sizes((node.value,)):
        return node.value
    if isinstance(node, ast.Tuple) and len(node.elts) == 3:
        return tuple(map(_arithmetic, node.elts))
    if isinstance(node, ast.List):
        return list(map(_arithmetic, node.elts))
    if isinstance(node, ast.BinOp):
        left, right = _arithmetic(node.left), _arithmetic(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
        many, times = (right, left) if isinstance(left, int) else (left, right)
        multiplied = isinstance(node.op, ast.Mult) and isinstance(many, list) and isinstance(times, int)
        if multiplied and len(many) * times <= MOST_CONVS:
            return many * times
    raise ValueError


# --- adapters (MMS) --------------------------------------------------------------------------------------------------


def adapters_as_modules(tensors: Tensors) -> Tensors:
    """The tensors with each block's adapter as a norm and two linears, as everybody but fairseq has them.

    Raises WeightsError where there is more than one language's.
    """
    found: Tensors = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if stem.endswith("adapter_layer") and last in ADAPTERS:
            if not tensor.shape or tensor.shape[0] != 1:
                raise WeightsError(f"{brief(name)} has the shape {tensor.shape}: only one language can be read")
            name = f"{stem}.{ADAPTERS[last]}"
            tensor = Tensor(tensor.storage, tensor.first, tensor.shape[1:], tensor.strides[1:])
        found[name] = tensor
    return found


# --- dictionaries → vocab.json ---------------------------------------------------------------------------------------


def read_dictionary(path: Path) -> list[str]:
    """The symbols of a dict.*.txt in the order of their ids, the four special ones first. Raises WeightsError.

    A line is "symbol count", and more may follow the symbol where it says "#fairseq:overwrite".
    """
    lines = read_text(path, WeightsError, LONGEST_JSON).split("\n")
    symbols = list(SPECIAL)
    known = set(symbols)
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        overwrite = line.endswith(" #fairseq:overwrite")
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not symbol or not re.fullmatch(r"-?\d{1,18}", count, re.ASCII):
            raise WeightsError(
                f"{shown(path)}, line {number}: expected a symbol, a space and a count, found {line[:80]!r}"
            )
        if symbol in known and not overwrite:
            raise WeightsError(f"{shown(path)}, line {number}: the symbol {symbol[:80]!r} stands there twice")
        if symbol not in known:
            symbols.append(symbol)
            known.add(symbol)
    return symbols


def dictionary_in(beside: Mapping[str, Any]) -> list[str] | None:
    """The symbols of the dictionary that a fine-tuned checkpoint may carry in its task_state, or None."""
    state = beside.get("task_state")
    record = state.get("target_dictionary") if isinstance(state, dict) else None
    if not isinstance(record, Record) or record.kind != Global("fairseq.data.dictionary", "Dictionary"):
        return None
    symbols = record.state.get("symbols") if isinstance(record.state, dict) else None
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        return None
    return symbols


def vocabulary_of(symbols: list[str]) -> dict[str, int]:
    """symbol → id as transformers wants it: the blank is called <pad>, so <pad> and <s> swap their ids."""
    if tuple(symbols[:4]) != SPECIAL or len(set(symbols)) < len(symbols):
        raise WeightsError(f"the dictionary begins with {listed(symbols[:4])}, expected {listed(SPECIAL)}, each once")
    vocabulary = {symbol: number for number, symbol in enumerate(symbols)}
    return vocabulary | {"<pad>": 0, "<s>": 1}


def vocabulary_files(symbols: list[str]) -> dict[str, dict[str, Any]]:
    """The files of a CTC tokenizer: vocab.json, tokenizer_config.json and special_tokens_map.json."""
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    options = {"do_lower_case": False, "tokenizer_class": "Wav2Vec2CTCTokenizer", "word_delimiter_token": "|"}
    files: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": roles | options,
        "special_tokens_map.json": dict(roles),
    }
    return {"vocab.json": vocabulary_of(symbols), **files}
