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
from typing import Any

from xlsr_ref.checkpoint import infer_bert
from xlsr_ref.checkpoint.evidence import Evidence
from xlsr_ref.errors import WeightsError

Shapes = Mapping[str, tuple[int, ...]]

RELEASED_KERNELS, RELEASED_STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
RELEASED_HEADS = {768: 12, 1024: 16, 1280: 16, 1920: 16, 2048: 16}  # by hidden_size
POSITIONAL = ("weight_v", "parametrizations.weight.original1", "weight")  # spellings of (C, C / groups, K)
LABELS = "number of labels"  # which config.json gives as a table of them
CLASSIFIERS = ("ForSequenceClassification", "ForAudioFrameClassification")
OF_A_HEAD = {  # field → the ends of the kinds that use it
    "vocab_size": ("ForCTC",),
    LABELS: CLASSIFIERS,
    "use_weighted_layer_sum": (*CLASSIFIERS, "ForXVector"),
    **dict.fromkeys(
        ("num_codevector_groups", "num_codevectors_per_group", "codevector_dim", "proj_codevector_dim"),
        ("ForPreTraining",),
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
ABOVE = ("add_adapter", "num_adapter_layers")  # an adapter, whose stride no shape tells in wav2vec 2.0
NOT_INFERRED = (LABELS, "use_weighted_layer_sum", *ABOVE)
TASKS = {  # the end of a kind's name → what it is
    "ForCTC": "CTC model",
    "ForPreTraining": "pretrained model",
    "Model": "pretrained model without its heads",
    "ForSequenceClassification": "classification model, one label for a recording",
    "ForAudioFrameClassification": "classification model, labels for every frame",
    "ForXVector": "speaker model (x-vectors)",
}
FAMILIES = {  # how kinds begin → model_type; what begins another one comes first
    "Wav2Vec2Bert": "wav2vec2-bert",
    "Wav2Vec2": "wav2vec2",
    "Hubert": "hubert",
    "UniSpeechSat": "unispeech-sat",
    "UniSpeech": "unispeech",
    "Data2VecAudio": "data2vec-audio",
}


def family_of(names: Iterable[str]) -> str:
    """One of FAMILIES: whose network these tensors are."""
    return "Wav2Vec2Bert" if infer_bert.is_bert(names) else "Wav2Vec2"


def task_of(kind: str) -> str:
    """The end of a kind's name, one of TASKS where it is known: "ForCTC" of "Wav2Vec2ForCTC"."""
    return next((kind.removeprefix(family) for family in FAMILIES if kind.startswith(family)), kind)


def what_is(kind: str) -> str:
    """A kind in words."""
    of = "Wav2Vec2-BERT " if kind.startswith("Wav2Vec2Bert") else ""
    return of + TASKS.get(task_of(kind), "model")


def kind_of(names: Iterable[str]) -> str:
    """The class of transformers: the heads that are there decide. Names may begin with that of the network."""
    names = list(names)
    heads = {name.split(".")[0] for name in names}
    tell = {"lm_head": "ForCTC", "quantizer": "ForPreTraining", "tdnn": "ForXVector"}
    tell |= {"projector": "ForSequenceClassification", "classifier": "ForAudioFrameClassification"}
    return family_of(names) + next((task for head, task in tell.items() if head in heads), "Model")


def evidence(shapes: Shapes, prefix: str = "") -> list[Evidence]:
    """Every field of config.json that the tensors' names or shapes determine; ``prefix`` begins the network's names."""
    own = infer_bert.evidence(shapes, prefix) if infer_bert.is_bert(shapes) else _of_wav2vec2(shapes, prefix)

    def rows(name: str) -> int | None:
        return shapes[name][0] if len(shapes.get(name, ())) == 1 else None

    return [
        *own,
        Evidence("vocab_size", rows("lm_head.bias"), "lm_head.bias"),
        Evidence("use_weighted_layer_sum", True if "layer_weights" in shapes else None, "layer_weights", True),
        Evidence(LABELS, rows("classifier.bias"), "classifier.bias"),
    ]


def _of_wav2vec2(shapes: Shapes, prefix: str) -> list[Evidence]:
    """Two fields of wav2vec 2.0 leave no trace in its tensors, do_stable_layer_norm and num_attention_heads."""

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
    required: tuple[str, ...]
    if infer_bert.is_bert(shapes):
        network, required, parts = "Wav2Vec2-BERT", infer_bert.REQUIRED, {"feature_projection", "encoder"}
    else:
        network, required, parts = "wav2vec 2.0", REQUIRED, {"feature_extractor", "encoder"}
    if not parts <= {name.split(".")[0] for name in shapes}:
        raise WeightsError(
            f"the tensors are not a {network} network's: there is no {min(parts - {'encoder'})} or no encoder"
        )
    found = evidence(shapes)
    for one in found:
        if one.field in required and one.value in (None, []):
            what = f"has the shape {shapes[one.tensor]}" if one.tensor in shapes else "is missing"
            raise WeightsError(f"the tensors are not a whole {network} network's: {one.tensor} {what}")
    config = {one.field: one.value for one in found if one.value is not None and one.field not in NOT_INFERRED}
    if infer_bert.is_bert(shapes):
        above = {one.field: one.value for one in found if one.field in ABOVE and one.value is not None}
        return {"architectures": [kind_of(shapes)]} | config | above
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
    task = task_of(str(kind))
    found = []
    for field, seen, tensor, by_name in evidence(shapes, prefix):
        if seen is None or field not in config or task not in OF_A_HEAD.get(field, (task,)):
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
    wanted = infer_bert.asked_for(config) if "feature_projection_input_dim" in config else _asked_of_wav2vec2(config)
    if "vocab_size" in config and "pad_token_id" not in config:
        wanted["pad_token_id=N"] = "the blank of CTC; released models: 0"
    if wanted:
        asked = ", ".join(f"{settings} {name}{f' ({usual})' if usual else ''}" for name, usual in wanted.items())
        raise WeightsError(f"there is no config, and the tensors cannot tell everything: give {asked}")


def _asked_of_wav2vec2(config: Mapping[str, Any]) -> dict[str, str]:
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
    return wanted


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
