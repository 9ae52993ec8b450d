"""What a config implies: the name and shape of every parameter of a model, as transformers names them.

The parts come in the order of the signal; a head's names have no prefix, the rest begins with "wav2vec2." where there
is a head. The strict load asks for exactly these.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator

from xlsr_ref.errors import ConfigError
from xlsr_ref.wav2vec2.config import CLASSIFIERS, KINDS, Config

Shapes = dict[str, tuple[int, ...]]
Named = Iterator[tuple[str, tuple[int, ...]]]

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
    if kind not in KINDS:
        raise ConfigError(f"{reprlib.repr(kind)} is not one of {', '.join(KINDS)}")
    if prefix is None:
        prefix = "" if kind == "Wav2Vec2Model" else "wav2vec2."
    if config.add_adapter:
        config.require_adapters_of(kind)
    parts = (_feature_encoder(config), _context_network(config, weight_norm), _adapter(config))
    shapes: Shapes = {"layer_weights": (config.num_hidden_layers + 1,)} if _sums_layers(config, kind) else {}
    shapes |= {prefix + name: shape for part in parts for name, shape in part}
    heads = {
        "Wav2Vec2ForCTC": _ctc,
        "Wav2Vec2ForPreTraining": _pre_training,
        "Wav2Vec2ForSequenceClassification": _sequence_classification,
        "Wav2Vec2ForAudioFrameClassification": _frame_classification,
        "Wav2Vec2ForXVector": _xvector,
    }
    return shapes | dict(heads[kind](config) if kind in heads else ())


def parameter_count(config: Config, kind: str, within: str = "") -> int:
    """Parameters of a model of ``kind``; with ``within``, of the part whose names begin so (after any "wav2vec2.")."""
    shapes = expected_shapes(config, kind, prefix="")
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(within))


# --- the parts -------------------------------------------------------------------------------------------------------


def _sums_layers(config: Config, kind: str) -> bool:
    return kind in CLASSIFIERS and config.use_weighted_layer_sum


def _norm(name: str, channels: int) -> Named:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def _linear(name: str, inputs: int, outputs: int) -> Named:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _feature_encoder(config: Config) -> Named:
    yield "masked_spec_embed", (config.hidden_size,)
    inputs = 1  # the waveform is one channel
    for i, (outputs, kernel) in enumerate(zip(config.conv_dim, config.conv_kernel)):
        layer = f"feature_extractor.conv_layers.{i}"
        yield f"{layer}.conv.weight", (outputs, inputs, kernel)
        if config.conv_bias:
            yield f"{layer}.conv.bias", (outputs,)
        if config.feat_extract_norm == "layer" or i == 0:
            yield from _norm(f"{layer}.layer_norm", outputs)
        inputs = outputs
    yield from _norm("feature_projection.layer_norm", inputs)
    yield from _linear("feature_projection.projection", inputs, config.hidden_size)


def _context_network(config: Config, weight_norm: tuple[str, str]) -> Named:
    C, K, conv = config.hidden_size, config.num_conv_pos_embeddings, "encoder.pos_conv_embed.conv"
    yield f"{conv}.bias", (C,)
    yield f"{conv}.{weight_norm[0]}", (1, 1, K)
    yield f"{conv}.{weight_norm[1]}", (C, C // config.num_conv_pos_embedding_groups, K)
    yield from _norm("encoder.layer_norm", C)
    for i in range(config.num_hidden_layers):
        block = f"encoder.layers.{i}"
        for projection in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from _linear(f"{block}.attention.{projection}", C, C)
        yield from _norm(f"{block}.layer_norm", C)
        yield from _linear(f"{block}.feed_forward.intermediate_dense", C, config.intermediate_size)
        yield from _linear(f"{block}.feed_forward.output_dense", config.intermediate_size, C)
        yield from _norm(f"{block}.final_layer_norm", C)
        if config.adapter_attn_dim is not None:
            yield from _norm(f"{block}.adapter_layer.norm", C)
            yield from _linear(f"{block}.adapter_layer.linear_1", C, config.adapter_attn_dim)
            yield from _linear(f"{block}.adapter_layer.linear_2", config.adapter_attn_dim, C)


def _adapter(config: Config) -> Named:
    if not config.add_adapter:
        return
    C = config.output_size
    if config.hidden_size != C:
        yield from _linear("adapter.proj", config.hidden_size, C)
        yield from _norm("adapter.proj_layer_norm", C)
    for i in range(config.num_adapter_layers):
        yield f"adapter.layers.{i}.conv.weight", (2 * C, C, config.adapter_kernel_size)
        yield f"adapter.layers.{i}.conv.bias", (2 * C,)


def _ctc(config: Config) -> Named:
    if config.vocab_size is None:
        raise ConfigError("vocab_size is null, but a Wav2Vec2ForCTC needs the number of rows of its lm_head")
    yield from _linear("lm_head", config.output_size, config.vocab_size)


def _pre_training(config: Config) -> Named:
    G, entries, d = config.num_codevector_groups, config.num_codevectors_per_group, config.codevector_dim
    if d % G:
        raise ConfigError(f"num_codevector_groups={G} does not divide codevector_dim={d}")
    yield "quantizer.codevectors", (1, G * entries, d // G)
    yield from _linear("quantizer.weight_proj", config.conv_dim[-1], G * entries)
    yield from _linear("project_hid", config.hidden_size, config.proj_codevector_dim)
    yield from _linear("project_q", d, config.proj_codevector_dim)


def _sequence_classification(config: Config) -> Named:
    yield from _linear("projector", config.hidden_size, config.classifier_proj_size)
    yield from _linear("classifier", config.classifier_proj_size, len(config.labels))


def _frame_classification(config: Config) -> Named:
    yield from _linear("classifier", config.hidden_size, len(config.labels))


def _xvector(config: Config) -> Named:
    inputs, E = config.tdnn_dim[0], config.xvector_output_dim
    yield from _linear("projector", config.hidden_size, inputs)
    for i, (outputs, kernel) in enumerate(zip(config.tdnn_dim, config.tdnn_kernel)):
        yield from _linear(f"tdnn.{i}.kernel", inputs * kernel, outputs)
        inputs = outputs
    yield from _linear("feature_extractor", 2 * inputs, E)
    yield from _linear("classifier", E, E)
    yield "objective.weight", (E, len(config.labels))
