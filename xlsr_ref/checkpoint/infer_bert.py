"""What the tensors alone say about a Wav2Vec2-BERT model: see infer.py, which this is a part of.

    self_attn.distance_embedding.weight (P, D)     relative_key, and the number of heads, hidden_size / D
    self_attn.pos_bias_u (H, D)                    relative, and the number of heads
    conv_module.depthwise_conv.weight (C, 1, K)    conv_depthwise_kernel_size

Rotary positions and none leave no trace, nor do the activations, an adapter's stride, and how the P distances of
relative_key are split between left and right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xlsr_ref.checkpoint.evidence import Evidence

Shapes = Mapping[str, tuple[int, ...]]

REQUIRED = ("feature_projection_input_dim", "hidden_size", "num_hidden_layers", "intermediate_size")
MARK = re.compile(r"(^|\.)encoder\.layers\.\d{1,4}\.(conv_module|ffn1)\.")


def is_bert(names: Iterable[str]) -> bool:
    """Are these the names of a Wav2Vec2-BERT's tensors?"""
    return any(MARK.search(name) for name in names)


def evidence(shapes: Shapes, prefix: str = "") -> list[Evidence]:
    """Every field of config.json that the tensors' names or shapes determine; ``prefix`` begins the network's names."""

    def layers(stem: str) -> int:
        numbers = (re.match(re.escape(stem) + r"\.(\d{1,4})\.", name) for name in shapes)
        return max((int(number[1]) + 1 for number in numbers if number), default=0)

    def size(name: str, axis: int, rank: int) -> int | None:
        return shapes[name][axis] if len(shapes.get(name, ())) == rank else None

    blocks, above = f"{prefix}encoder.layers", f"{prefix}adapter.layers"
    depth, adapters = layers(blocks), layers(above)
    width, dense = f"{prefix}feature_projection.projection.weight", f"{blocks}.0.ffn1.intermediate_dense.bias"
    attention, conv = f"{blocks}.0.self_attn", f"{blocks}.0.conv_module.depthwise_conv.weight"
    key, bias = f"{attention}.distance_embedding.weight", f"{attention}.pos_bias_u"
    C, D, kernel = size(width, 0, 2), size(key, 1, 2) or size(bias, 1, 2), f"{above}.0.residual_conv.weight"
    narrow, between = f"{prefix}adapter.proj.bias", f"{prefix}intermediate_ffn.output_dense.bias"
    positions = "relative_key" if key in shapes else "relative" if bias in shapes else None
    return [
        Evidence("feature_projection_input_dim", size(width, 1, 2), width),
        Evidence("hidden_size", C, width),
        Evidence("num_hidden_layers", depth or None, f"{blocks}.{max(depth - 1, 0)}"),
        Evidence("intermediate_size", size(dense, 0, 1), dense),
        Evidence("num_attention_heads", C // D if C and D else None, key if key in shapes else bias),
        Evidence("position_embeddings_type", positions, key if key in shapes else bias, True),
        Evidence("conv_depthwise_kernel_size", size(conv, 2, 3), conv),
        Evidence("add_adapter", True if adapters else None, kernel, True),
        Evidence("num_adapter_layers", adapters or None, above),
        Evidence("adapter_kernel_size", size(kernel, 2, 3), kernel),
        Evidence("output_hidden_size", size(narrow, 0, 1), narrow),
        Evidence("use_intermediate_ffn_before_adapter", True if between in shapes else None, between, True),
    ]


def asked_for(config: Mapping[str, object]) -> dict[str, str]:
    """Each setting that no shape determines and ``config`` lacks, and what is usual."""
    wanted = {}
    if "position_embeddings_type" not in config:
        wanted["position_embeddings_type=rotary|null"] = ""
    if "num_attention_heads" not in config:
        wanted["num_attention_heads=N"] = "the released model: 16"
    return wanted
