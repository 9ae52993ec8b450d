"""What a config implies: the name and shape of every parameter of a Wav2Vec2-BERT model, as transformers names them.

The parts come in the order of the signal; heads and their names are in ops/shapes.py. The strict load asks for exactly
these; masked_spec_embed may be missing, since only masking needs it.
"""

from __future__ import annotations

from xlsr_ref.ops.shapes import Named, Shapes, adapter_projection, linear, model_shapes, norm
from xlsr_ref.wav2vec2_bert.config import Config


def expected_shapes(config: Config, kind: str, prefix: str | None = None, spelling: tuple[str, ...] = ()) -> Shapes:
    """Every parameter's name and shape for a model of ``kind``, as transformers names them.

    ``prefix`` is "" or "wav2vec2_bert." (None: what transformers writes for this kind). There is one ``spelling``.
    Raises ConfigError where the config cannot make such a model.
    """
    blocks = (_block(f"encoder.layers.{i}", config) for i in range(config.num_hidden_layers))
    return model_shapes(config, kind, prefix, (_input(config), *blocks, _above(config)))


def _input(config: Config) -> Named:
    yield "masked_spec_embed", (config.hidden_size,)
    yield from norm("feature_projection.layer_norm", config.feature_projection_input_dim)
    yield from linear("feature_projection.projection", config.feature_projection_input_dim, config.hidden_size)


def _block(block: str, config: Config) -> Named:
    C, K = config.hidden_size, config.conv_depthwise_kernel_size
    for half in ("ffn1", "ffn2"):
        yield from norm(f"{block}.{half}_layer_norm", C)
        yield from _feed_forward(f"{block}.{half}", C, config)
    yield from norm(f"{block}.self_attn_layer_norm", C)
    yield from _attention(f"{block}.self_attn", C)
    yield from _positions(f"{block}.self_attn", config)
    yield from norm(f"{block}.conv_module.layer_norm", C)
    yield f"{block}.conv_module.pointwise_conv1.weight", (2 * C, C, 1)
    yield f"{block}.conv_module.depthwise_conv.weight", (C, 1, K)
    yield from norm(f"{block}.conv_module.depthwise_layer_norm", C)
    yield f"{block}.conv_module.pointwise_conv2.weight", (C, C, 1)
    yield from norm(f"{block}.final_layer_norm", C)


def _attention(name: str, C: int) -> Named:
    for projection in ("linear_q", "linear_k", "linear_v", "linear_out"):
        yield from linear(f"{name}.{projection}", C, C)


def _positions(name: str, config: Config) -> Named:
    H, D = config.num_attention_heads, config.head_dim
    if config.position_embeddings_type == "relative_key":
        rows = config.left_max_position_embeddings + 1 + config.right_max_position_embeddings
        yield f"{name}.distance_embedding.weight", (rows, D)
    if config.position_embeddings_type == "relative":
        yield from linear(f"{name}.linear_pos", config.hidden_size, config.hidden_size, bias=False)
        yield f"{name}.pos_bias_u", (H, D)
        yield f"{name}.pos_bias_v", (H, D)


def _feed_forward(name: str, C: int, config: Config) -> Named:
    yield from linear(f"{name}.intermediate_dense", C, config.intermediate_size)
    yield from linear(f"{name}.output_dense", config.intermediate_size, C)


def _above(config: Config) -> Named:
    if config.use_intermediate_ffn_before_adapter:
        yield from _feed_forward("intermediate_ffn", config.hidden_size, config)
    yield from adapter_projection(config)
    C = config.output_size
    for i in range(config.num_adapter_layers if config.add_adapter else 0):
        layer = f"adapter.layers.{i}"
        for half in ("residual", "self_attn"):
            yield from norm(f"{layer}.{half}_layer_norm", C)
            yield f"{layer}.{half}_conv.weight", (2 * C, C, config.adapter_kernel_size)
            yield f"{layer}.{half}_conv.bias", (2 * C,)
        yield from _attention(f"{layer}.self_attn", C)
        yield from norm(f"{layer}.ffn_layer_norm", C)
        yield from _feed_forward(f"{layer}.ffn", C, config)
