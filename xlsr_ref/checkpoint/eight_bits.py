"""Which layers may be int8 in a checkpoint, and how: `….weight` of int8 numbers, and a `….weight_scale` for each row.

    W[n, k] ≈ weight_scale[n] · weight[n, k]          (ops/int8.py)

They are the linear layers of the Transformer blocks: 95 % of the multiplications of a released model. Norms,
convolutions and heads stay floats. A note in the file's header and quantization_config in config.json say so. No other
toolkit knows the scheme: transformers warns that it does not, and then computes with weights that were never scaled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from xlsr_ref.checkpoint.floats import to_float
from xlsr_ref.checkpoint.safetensors_file import Source
from xlsr_ref.checkpoint.tensors import Tensor
from xlsr_ref.errors import WeightsError
from xlsr_ref.ops.int8 import quantize_per_channel
from xlsr_ref.ops.memory import give_back_mapped
from xlsr_ref.untrusted import brief

QUANT_METHOD = "xlsr_ref_int8"
NOTE = {"int8": "the linear layers of the blocks are weight_scale[n] * weight[n, k]; xlsr_ref reads them"}
LAYERS = re.compile(
    r"(.*\.)?encoder\.layers\.\d+\.(attention\.(q|k|v|out)_proj|feed_forward\.(intermediate|output)_dense"
    r"|self_attn\.linear_(q|k|v|out)|ffn[12]\.(intermediate|output)_dense)\.weight"
)


def may_be_int8(name: str) -> bool:
    """Is this the weight of a linear layer of a block?"""
    return LAYERS.fullmatch(name) is not None


def scale_of(name: str) -> str:
    """The name of a weight's scales."""
    return f"{name}_scale"


def in_eight_bits(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``flat`` with the linear layers of the blocks as int8 weights and scales, read-only. Raises WeightsError."""
    result: dict[str, np.ndarray] = {}
    for name, array in flat.items():
        if not may_be_int8(name) or array.dtype == np.int8:
            result[name] = array
            continue
        result[name], result[scale_of(name)] = quantized(name, array)
        give_back_mapped(array)
    return result


def quantized(name: str, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight (N, K) as int8 numbers and scales (N,), read-only. Raises WeightsError for what is not finite."""
    if not np.isfinite(weight).all():
        raise WeightsError(f"{brief(name)} holds numbers that are not finite, which have no eight bits")
    numbers, scale = quantize_per_channel(weight)
    numbers.flags.writeable = scale.flags.writeable = False
    return numbers, scale


def unsound_scales(flat: Mapping[str, np.ndarray], name: str) -> str | None:
    """What is wrong with the scales of the int8 weight ``name``; None where nothing is."""
    scale = flat[scale_of(name)]
    if scale.dtype != np.float32 or not (np.isfinite(scale) & (scale > 0)).all():
        return f"{brief(scale_of(name))} must hold float32 numbers above 0"
    return None


class EightBits:
    """A tensor of floats on its way into a file as int8 numbers, or their scales."""

    def __init__(self, source: Tensor, name: str, scales: bool) -> None:
        self.source, self.name, self.scales = source, name, scales
        self.dtype, self.shape = ("F32", source.shape[:1]) if scales else ("I8", source.shape)
        self.nbytes = 4 * source.shape[0] if scales else source.shape[0] * source.shape[1]

    def pieces(self) -> Iterator[np.ndarray]:
        numbers, scale = quantized(self.name, to_float(self.source.read(), "float32"))
        yield scale if self.scales else numbers.reshape(-1)


def eight_bit_sources(source: Tensor, name: str) -> dict[str, Source]:
    """The two tensors to write for the weight ``name``."""
    return {name: EightBits(source, name, False), scale_of(name): EightBits(source, name, True)}
