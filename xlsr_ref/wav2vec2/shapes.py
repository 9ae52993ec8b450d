"""What a config implies: the name and shape of every parameter of a model, as transformers names them.

The parts come in the order of the signal; a head's names have no prefix, the rest begins with "wav2vec2." where there
is a head. The strict load asks for exactly these.
"""

from __future__ import annotations

import math

from xlsr_ref.errors import ConfigError
from xlsr_ref.ops.shapes import Named, Shapes, adapter_projection, linear, model_shapes, norm
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.relatives import Data2VecAudioConfig

# The positional convolution's weight is g * v / |v|; torch has spelled the pair (g, v) in two ways.
PARAMETRIZED = ("parametrizations.weight.original0", "parametrizations.weight.original1")
CLASSIC = ("weight_g", "weight_v")


def expected_shapes(
    config: Config, kind: str, prefix: str | None = None, weight_norm: tuple[str, str] = PARAMETRIZED
) -> Shapes:
    """Every parameter's name and shape for a model of ``kind`` (one of KINDS), as transformers names them.

    ``prefix`` is "" or "wav2vec2." (None: what transformers writes for this kind); ``weight_norm`` spells (g, v).
    Raises ConfigError where the config cannot make such a model.
    """
    parts = (_feature_encoder(config), _context_network(config, weight_norm), _adapter(config))
    return model_shapes(config, kind, prefix, parts, {"ForPreTraining": _pre_training})


def parameter_count(config: Config, kind: str, within: str = "") -> int:
    """Parameters of a model of ``kind``; with ``within``, of the part whose names begin so (after any "wav2vec2.")."""
    shapes = expected_shapes(config, kind, prefix="")
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(within))


# --- the parts -------------------------------------------------------------------------------------------------------


def _feature_encoder(config: Config) -> Named:
    yield "masked_spec_embed", (config.hidden_size,)
    inputs = 1  # the waveform is one channel
    for i, (outputs, kernel) in enumerate(zip(config.conv_dim, config.conv_kernel)):
        layer = f"feature_extractor.conv_layers.{i}"
        yield f"{layer}.conv.weight", (outputs, inputs, kernel)
        if config.conv_bias:
            yield f"{layer}.conv.bias", (outputs,)
        if config.feat_extract_norm == "layer" or i == 0:
            yield from norm(f"{layer}.layer_norm", outputs)
        inputs = outputs
    yield from norm("feature_projection.layer_norm", inputs)
    yield from linear("feature_projection.projection", inputs, config.hidden_size)


def _context_network(config: Config, weight_norm: tuple[str, str]) -> Named:
    C, (number, K) = config.hidden_size, config.positional_convolutions
    kernel = (C, C // config.num_conv_pos_embedding_groups, K)
    if isinstance(config, Data2VecAudioConfig):
        for i in range(number):
            yield f"encoder.pos_conv_embed.layers.{i}.conv.weight", kernel
            yield f"encoder.pos_conv_embed.layers.{i}.conv.bias", (C,)
    else:
        conv = "encoder.pos_conv_embed.conv"
        yield f"{conv}.bias", (C,)
        yield f"{conv}.{weight_norm[0]}", (1, 1, K)
        yield f"{conv}.{weight_norm[1]}", kernel
    yield from norm("encoder.layer_norm", C)
    for i in range(config.num_hidden_layers):
        block = f"encoder.layers.{i}"
        for projection in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from linear(f"{block}.attention.{projection}", C, C)
        yield from norm(f"{block}.layer_norm", C)
        yield from linear(f"{block}.feed_forward.intermediate_dense", C, config.intermediate_size)
        yield from linear(f"{block}.feed_forward.output_dense", config.intermediate_size, C)
        yield from norm(f"{block}.final_layer_norm", C)
        if config.adapter_attn_dim is not None:
            yield from norm(f"{block}.adapter_layer.norm", C)
            yield from linear(f"{block}.adapter_layer.linear_1", C, config.adapter_attn_dim)
            yield from linear(f"{block}.adapter_layer.linear_2", config.adapter_attn_dim, C)


def _adapter(config: Config) -> Named:
    yield from adapter_projection(config)
    C = config.output_size
    for i in range(config.num_adapter_layers if config.add_adapter else 0):
        yield f"adapter.layers.{i}.conv.weight", (2 * C, C, config.adapter_kernel_size)
        yield f"adapter.layers.{i}.conv.bias", (2 * C,)


def _pre_training(config: Config) -> Named:
    G, entries, d = config.num_codevector_groups, config.num_codevectors_per_group, config.codevector_dim
    if d % G:
        raise ConfigError(f"num_codevector_groups={G} does not divide codevector_dim={d}")
    yield "quantizer.codevectors", (1, G * entries, d // G)
    yield from linear("quantizer.weight_proj", config.conv_dim[-1], G * entries)
    yield from linear("project_hid", config.hidden_size, config.proj_codevector_dim)
    yield from linear("project_q", d, config.proj_codevector_dim)
