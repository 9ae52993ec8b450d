"""The config of a random model of each family, small enough to be timed in a test."""

TINY = {
    "conv_dim": [6, 8, 10, 12, 8, 7, 16],
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 11,
}
FAMILIES = {
    "xlsr": TINY | {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
    "base": TINY,
}
