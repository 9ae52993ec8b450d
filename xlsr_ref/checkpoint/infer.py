"""What the tensors alone say about a model: which kind it is, and every size that leaves a trace in a shape.

    conv_layers.i.conv.weight   (C_out, C_in, K)        conv_dim, conv_kernel; a bias or none
    conv_layers.1.layer_norm                            there: layer norm after every convolution; not: one group norm
    pos_conv_embed.conv v       (C, C/groups, K)        num_conv_pos_embeddings, …_groups
    encoder.layers.N-1.…                                num_hidden_layers
    lm_head.weight              (V, C)                  vocab_size

Four settings leave none: the number of heads (it divides what it divides), the order of norm and block, the strides of
the convolutions, and which token is the blank. Where no config gives them they are asked for, never guessed.
Names are transformers', without "wav2vec2." (names.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from xlsr_ref.errors import WeightsError

Shapes = Mapping[str, tuple[int, ...]]

RELEASED_KERNELS, RELEASED_STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
RELEASED_HEADS = {768: 12, 1024: 16, 1280: 16, 1920: 16}  # by hidden_size
POSITIONAL = ("weight_v", "parametrizations.weight.original1", "weight")  # spellings of (C, C / groups, K)
LABELS = "number of labels"  # which config.json gives as a table of them
CLASSIFIERS = ("Wav2Vec2ForSequenceClassification", "Wav2Vec2ForAudioFrameClassification")
OF_A_HEAD = {  # field → the kinds that use it
    "vocab_size": ("Wav2Vec2ForCTC",),
    LABELS: CLASSIFIERS,
    "use_weighted_layer_sum": (*CLASSIFIERS, "Wav2Vec2ForXVector"),
    **dict.fromkeys(
        ("num_codevector_groups", "num_codevectors_per_group", "codevector_dim", "proj_codevector_dim"),
        ("Wav2Vec2ForPreTraining",),
    ),
}
REQUIRED = (
    "conv_dim",
    "conv_kernel",
    "hidden_size",
    "num_conv_pos_embeddings",
    "num_hidden_layers",
    "intermediate_size",
)
NOT_INFERRED = (LABELS, "use_weighted_layer_sum", "add_adapter", "num_adapter_layers")
KINDS = {
    "Wav2Vec2ForCTC": "CTC model",
    "Wav2Vec2ForPreTraining": "pretrained model",
    "Wav2Vec2Model": "pretrained model without its heads",
    "Wav2Vec2ForSequenceClassification": "classification model, one label for a recording",
    "Wav2Vec2ForAudioFrameClassification": "classification model, labels for every frame",
    "Wav2Vec2ForXVector": "speaker model (x-vectors)",
}


class Evidence(NamedTuple):
    """What the tensors say of one field of config.json."""

    field: str
    value: Any  # None: nothing
    tensor: str  # the name that says so
    by_name: bool = False  # by being there or not; otherwise its shape says it


def kind_of(names: Iterable[str]) -> str:
    """One of KINDS: the heads that are there decide. Names may begin with "wav2vec2."."""
    heads = {name.split(".")[0] for name in names}
    tell = {"lm_head": "Wav2Vec2ForCTC", "quantizer": "Wav2Vec2ForPreTraining", "tdnn": "Wav2Vec2ForXVector"}
    tell |= {"projector": "Wav2Vec2ForSequenceClassification", "classifier": "Wav2Vec2ForAudioFrameClassification"}
    return next((kind for head, kind in tell.items() if head in heads), "Wav2Vec2Model")


def evidence(shapes: Shapes, prefix: str = "") -> list[Evidence]:
    """Every field of config.json that the tensors' names or shapes determine; ``prefix`` begins the network's names.

    Two fields leave no trace in them, do_stable_layer_norm and num_attention_heads.
    """

    def layers(stem: str) -> int:
        number = re.compile(re.escape(stem) + r"\.(\d{1,4})\.")
        return max((int(match[1]) + 1 for match in map(number.match, shapes) if match), default=0)

    def size(name: str, axis: int, rank: int) -> int | None:
        return shapes[name][axis] if len(shapes.get(name, ())) == rank else None

    convs, blocks = f"{prefix}feature_extractor.conv_layers", f"{prefix}encoder.layers"
    n, depth = layers(convs), layers(blocks)
    bias, norm, kernel = f"{convs}.0.conv.bias", f"{convs}.1.layer_norm.weight", f"{convs}.*.conv.weight"
    widths, kernels = ([size(f"{convs}.{i}.conv.weight", axis, 3) for i in range(n)] for axis in (0, 2))
    width, dense = f"{prefix}feature_projection.projection.bias", f"{blocks}.0.feed_forward.intermediate_dense.bias"
    spellings = [f"{prefix}encoder.pos_conv_embed.conv.{v}" for v in POSITIONAL]
    positional = next((name for name in spellings if name in shapes), spellings[0])
    C, per_group = size(positional, 0, 3), size(positional, 1, 3)
    narrow, above = f"{blocks}.0.adapter_layer.linear_1.bias", f"{prefix}adapter.layers"
    return [
        Evidence("conv_dim", None if None in widths else widths or None, kernel),
        Evidence("conv_kernel", None if None in kernels else kernels or None, kernel),
        Evidence("num_feat_extract_layers", n or None, kernel),
        Evidence("conv_bias", bias in shapes if n else None, bias, True),
        Evidence("feat_extract_norm", ("layer" if norm in shapes else "group") if n > 1 else None, norm, True),
        Evidence("hidden_size", size(width, 0, 1), width),
        Evidence("num_conv_pos_embeddings", size(positional, 2, 3), positional),
        Evidence("num_conv_pos_embedding_groups", C // per_group if C and per_group else None, positional),
        Evidence("num_hidden_layers", depth or None, f"{blocks}.{max(depth - 1, 0)}"),
        Evidence("intermediate_size", size(dense, 0, 1), dense),
        Evidence("adapter_attn_dim", size(narrow, 0, 1), narrow),
        Evidence("num_adapter_layers", layers(above) or None, above),
        Evidence("add_adapter", True if layers(above) else None, f"{above}.0.conv.weight", True),
        Evidence("vocab_size", size("lm_head.bias", 0, 1), "lm_head.bias"),
        Evidence("use_weighted_layer_sum", True if "layer_weights" in shapes else None, "layer_weights", True),
        Evidence(LABELS, size("classifier.bias", 0, 1), "classifier.bias"),
        *_quantizer(size("quantizer.codevectors", 1, 3), size("quantizer.codevectors", 2, 3),
                    size("project_q.weight", 1, 2), size("project_q.weight", 0, 2)),
    ]  # fmt: skip


def _quantizer(entries: int | None, part: int | None, d: int | None, proj: int | None) -> Iterator[Evidence]:
    """Of G groups with V entries each: ``entries`` is G · V, ``part`` d / G."""
    where = "quantizer.codevectors, project_q.weight"
    if not entries or not part or not d or proj is None or d % part or entries % (d // part):
        return
    groups = d // part
    yield Evidence("num_codevector_groups", groups, where)
    yield Evidence("num_codevectors_per_group", entries // groups, where)
    yield Evidence("codevector_dim", d, where)
    yield Evidence("proj_codevector_dim", proj, "project_q.weight")


def config_of(shapes: Shapes) -> dict[str, Any]:
    """Every field of config.json that the shapes determine. Raises WeightsError where they are no whole network's."""
    if not {"feature_extractor", "encoder"} <= {name.split(".")[0] for name in shapes}:
        raise WeightsError("the tensors are not a wav2vec 2.0 network's: there is no feature_extractor or no encoder")
    found = evidence(shapes)
    for one in found:
        if one.field in REQUIRED and one.value in (None, []):
            what = f"has the shape {shapes[one.tensor]}" if one.tensor in shapes else "is missing"
            raise WeightsError(f"the tensors are not a whole wav2vec 2.0 network's: {one.tensor} {what}")
    config = {one.field: one.value for one in found if one.value is not None and one.field not in NOT_INFERRED}
    C = config["hidden_size"]
    positional = next(shapes[one.tensor] for one in found if one.field == "num_conv_pos_embeddings")
    if positional[0] != C or not positional[1] or C % positional[1]:
        raise WeightsError(
            f"encoder.pos_conv_embed.conv has the shape {positional}, which does not fit hidden_size {C}"
        )
    if {"quantizer.codevectors", "project_q.weight"} <= shapes.keys() and "codevector_dim" not in config:
        raise WeightsError(f"quantizer.codevectors {shapes['quantizer.codevectors']} and project_q do not fit")
    return {"architectures": [kind_of(shapes)]} | config


def contradictions(config: Mapping[str, Any], shapes: Shapes, source: str, prefix: str = "") -> list[str]:
    """A sentence for each field of ``config``, which ``source`` gave, that the tensors' names or shapes deny.

    Heads that a model of config's kind (``architectures``) does not have may be there; nothing of theirs is compared.
    """
    architectures = config.get("architectures")
    kind = architectures[0] if isinstance(architectures, list | tuple) and architectures else kind_of(shapes)
    found = []
    for field, seen, tensor, by_name in evidence(shapes, prefix):
        if seen is None or field not in config or kind not in OF_A_HEAD.get(field, (kind,)):
            continue
        said = list(config[field]) if isinstance(config[field], tuple) else config[field]
        if seen == said or (field == "num_adapter_layers" and not config.get("add_adapter", True)):
            continue
        proof = f"{'' if tensor in shapes else 'no '}{tensor}" if by_name else f"{_brief(seen)} ({tensor})"
        found.append(f"{source} says {field}={_brief(said)}, but the weights have {proof}")
    return found


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def asked_for(config: Mapping[str, Any], settings: str = "--set") -> None:
    """Raise WeightsError with each setting that no shape determines and ``config`` lacks, and what is usual."""
    wanted = {}
    kernels, heads = config.get("conv_kernel"), RELEASED_HEADS.get(config.get("hidden_size", 0))
    if "num_attention_heads" not in config:
        wanted["num_attention_heads=N"] = f"released models of this width: {heads}" if heads else ""
    if "do_stable_layer_norm" not in config:
        layer = config.get("feat_extract_norm") == "layer"
        wanted["do_stable_layer_norm=true|false"] = f"released models like this: {'true' if layer else 'false'}"
    if "conv_stride" not in config:
        usual = ",".join(map(str, RELEASED_STRIDES))
        wanted["conv_stride=N,N,…"] = f"released models: {usual}" if kernels == RELEASED_KERNELS else ""
    if "feat_extract_norm" not in config:
        wanted["feat_extract_norm=layer|group"] = ""
    if "vocab_size" in config and "pad_token_id" not in config:
        wanted["pad_token_id=N"] = "the blank of CTC; released models: 0"
    if wanted:
        asked = ", ".join(f"{settings} {name}{f' ({usual})' if usual else ''}" for name, usual in wanted.items())
        raise WeightsError(f"there is no config, and the tensors cannot tell everything: give {asked}")


def check(config: Mapping[str, Any]) -> None:
    """Raise WeightsError where one of the settings that no shape tells cannot be."""
    heads, C = config.get("num_attention_heads", 1), config.get("hidden_size", 0)
    if type(heads) is not int or heads < 1 or C % heads:
        raise WeightsError(f"num_attention_heads={heads} must be a whole number that divides hidden_size={C}")
    if type(config.get("do_stable_layer_norm", True)) is not bool:
        raise WeightsError(f"do_stable_layer_norm={config['do_stable_layer_norm']} must be true or false")
    strides, convs = config.get("conv_stride"), len(config.get("conv_kernel", ()))
    if strides is not None:
        wholes = isinstance(strides, list) and all(type(n) is int and n > 0 for n in strides)
        if not wholes or len(strides) != convs:
            raise WeightsError(f"conv_stride={strides} must be {convs} whole numbers, one for each convolution")
    blank = config.get("pad_token_id")
    if blank is not None and (type(blank) is not int or blank < 0):
        raise WeightsError(f"pad_token_id={blank} must be a whole number from 0 up")
