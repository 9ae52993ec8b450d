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

import re
from collections.abc import Mapping
from typing import Any

from weights_tools.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

RELEASED_KERNELS, RELEASED_STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
RELEASED_HEADS = {768: 12, 1024: 16, 1280: 16, 1920: 16}  # by hidden_size
KINDS = {
    "Wav2Vec2ForCTC": "CTC model",
    "Wav2Vec2ForPreTraining": "pretrained model",
    "Wav2Vec2Model": "pretrained model without its heads",
    "Wav2Vec2ForSequenceClassification": "classification model, one label for a recording",
    "Wav2Vec2ForAudioFrameClassification": "classification model, labels for every frame",
    "Wav2Vec2ForXVector": "speaker model (x-vectors)",
}


def kind_of(shapes: Shapes) -> str:
    """One of KINDS: the heads that are there decide. Raises CheckpointError where there is no wav2vec 2.0 network."""
    heads = {name.split(".")[0] for name in shapes}
    if not {"feature_extractor", "encoder"} <= heads:
        raise CheckpointError(
            "the tensors are not a wav2vec 2.0 network's: there is no feature_extractor or no encoder"
        )
    if "lm_head" in heads:
        return "Wav2Vec2ForCTC"
    if "tdnn" in heads:
        return "Wav2Vec2ForXVector"
    if "classifier" in heads:
        frames = "projector" not in heads
        return "Wav2Vec2ForAudioFrameClassification" if frames else "Wav2Vec2ForSequenceClassification"
    return "Wav2Vec2ForPreTraining" if {"quantizer", "project_q", "project_hid"} <= heads else "Wav2Vec2Model"


def config_of(shapes: Shapes) -> dict[str, Any]:
    """Every field of config.json that the shapes determine. Raises CheckpointError where they contradict each other."""

    def layers(stem: str) -> int:
        numbers = [re.match(re.escape(stem) + r"\.(\d{1,4})\.", name) for name in shapes]
        return max((int(match[1]) + 1 for match in numbers if match), default=0)

    def shape(name: str, rank: int) -> tuple[int, ...]:
        found = shapes.get(name)
        if found is None or len(found) != rank:
            what = "is missing" if found is None else f"has the shape {found}, expected {rank} axes"
            raise CheckpointError(f"the tensors are not a whole wav2vec 2.0 network's: {name} {what}")
        return found

    convs = layers("feature_extractor.conv_layers")
    kernels = [shape(f"feature_extractor.conv_layers.{i}.conv.weight", 3) for i in range(max(convs, 1))]
    C = shape("feature_projection.projection.weight", 2)[0]
    depth = layers("encoder.layers")
    inner = shape("encoder.layers.0.feed_forward.intermediate_dense.weight", 2)[0]
    config: dict[str, Any] = {
        "architectures": [kind_of(shapes)],
        "conv_dim": [kernel[0] for kernel in kernels],
        "conv_kernel": [kernel[2] for kernel in kernels],
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in shapes,
        "num_feat_extract_layers": convs,
        "hidden_size": C,
        "num_hidden_layers": depth,
        "intermediate_size": inner,
    }
    if convs > 1:
        norms = "feature_extractor.conv_layers.1.layer_norm.weight" in shapes
        config["feat_extract_norm"] = "layer" if norms else "group"
    config |= _positional(shapes, C)
    if "lm_head.weight" in shapes:
        config["vocab_size"] = shape("lm_head.weight", 2)[0]
    if "quantizer.codevectors" in shapes and "project_q.weight" in shapes:
        _, entries, part = shape("quantizer.codevectors", 3)
        proj, d = shape("project_q.weight", 2)
        if part == 0 or d % part or entries % (d // part or 1):
            raise CheckpointError(f"quantizer.codevectors {shapes['quantizer.codevectors']} and project_q do not fit")
        groups = d // part
        config |= {"num_codevector_groups": groups, "num_codevectors_per_group": entries // groups}
        config |= {"codevector_dim": d, "proj_codevector_dim": proj}
    if "encoder.layers.0.adapter_layer.linear_1.weight" in shapes:
        config["adapter_attn_dim"] = shape("encoder.layers.0.adapter_layer.linear_1.weight", 2)[0]
    return config


def _positional(shapes: Shapes, C: int) -> dict[str, int]:
    """Kernel and groups of the positional convolution, from whichever spelling of its weight is there."""
    stem = "encoder.pos_conv_embed.conv."
    for leaf in ("weight_v", "parametrizations.weight.original1", "weight"):
        found = shapes.get(stem + leaf)
        if found is None:
            continue
        if len(found) != 3 or found[0] != C or found[1] == 0 or C % found[1]:
            raise CheckpointError(f"{stem}{leaf} has the shape {found}, which does not fit hidden_size {C}")
        return {"num_conv_pos_embeddings": found[2], "num_conv_pos_embedding_groups": C // found[1]}
    raise CheckpointError(f"the tensors are not a whole wav2vec 2.0 network's: {stem}weight_v is missing")


def asked_for(config: Mapping[str, Any], settings: str = "--set") -> None:
    """Raise CheckpointError with each setting that no shape determines and ``config`` lacks, and what is usual."""
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
        raise CheckpointError(f"there is no config, and the tensors cannot tell everything: give {asked}")


def check(config: Mapping[str, Any]) -> None:
    """Raise CheckpointError where one of the settings that no shape tells cannot be."""
    heads, C = config.get("num_attention_heads", 1), config.get("hidden_size", 0)
    if type(heads) is not int or heads < 1 or C % heads:
        raise CheckpointError(f"num_attention_heads={heads} must be a whole number that divides hidden_size={C}")
    if type(config.get("do_stable_layer_norm", True)) is not bool:
        raise CheckpointError(f"do_stable_layer_norm={config['do_stable_layer_norm']} must be true or false")
    strides, convs = config.get("conv_stride"), len(config.get("conv_kernel", ()))
    if strides is not None:
        wholes = isinstance(strides, list) and all(type(n) is int and n > 0 for n in strides)
        if not wholes or len(strides) != convs:
            raise CheckpointError(f"conv_stride={strides} must be {convs} whole numbers, one for each convolution")
    blank = config.get("pad_token_id")
    if blank is not None and (type(blank) is not int or blank < 0):
        raise CheckpointError(f"pad_token_id={blank} must be a whole number from 0 up")


def contradictions(config: Mapping[str, Any], shapes: Shapes, source: str) -> list[str]:
    """A sentence for each field of ``config``, which ``source`` gave, that the shapes deny."""
    seen = config_of(shapes)
    return [
        f"{source} says {field}={config[field]}, but the tensors have {value}"
        for field, value in seen.items()
        if field != "architectures" and field in config and config[field] != value
    ]
