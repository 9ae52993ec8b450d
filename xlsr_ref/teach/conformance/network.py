"""Every stage of a small XLSR model with a CTC head, from the samples to the loss and its gradient, in plain NumPy.

    stages(samples, p, config, targets)      a dict: the name of each stage and its numbers, in their order

A port to another language can be written from this file. It is slow and has no cache; tests hold it equal to the
library. The names are those of the checkpoint. Letters: L samples, T frames, C channels, D channels of a head,
K kernel, S targets, V tokens.
"""

from __future__ import annotations

import math

import numpy as np


def stages(samples, p, config, targets):
    """The stages of ``samples`` (L,) with the weights ``p``, flat by name, and the ``targets`` (S,), in their order."""
    kept = {}
    x = kept["waveform"] = normalise(samples)
    x = x[:, None]
    for i, stride in enumerate(config["conv_stride"]):
        x = kept[f"feature_extractor.conv_layers.{i}"] = conv_layer(
            x, part(p, f"feature_extractor.conv_layers.{i}"), stride
        )
    eps = config["layer_norm_eps"]
    normed = kept["feature_projection.layer_norm"] = layer_norm(x, part(p, "feature_projection.layer_norm"), eps)
    x = kept["feature_projection"] = linear(normed, part(p, "feature_projection.projection"))
    groups = config["num_conv_pos_embedding_groups"]
    kept["encoder.pos_conv_embed.conv.weight"] = kernel(part(p, "encoder.pos_conv_embed.conv"))
    position = kept["encoder.pos_conv_embed"] = positional(x, part(p, "encoder.pos_conv_embed.conv"), groups)
    x = x + position
    for i in range(config["num_hidden_layers"]):
        name = f"encoder.layers.{i}"
        x, attended, transformed = block(x, part(p, name), config["num_attention_heads"], eps)
        kept |= {f"{name}.attention": attended, f"{name}.feed_forward": transformed, name: x}
    context = kept["encoder.layer_norm"] = layer_norm(x, part(p, "encoder.layer_norm"), eps)
    logits = kept["lm_head"] = linear(context, part(p, "lm_head"))
    log_y = kept["log_probs"] = log_softmax(logits)
    loss, gamma = ctc(log_y, targets, config["pad_token_id"])
    kept["ctc_loss"] = np.array(loss)
    kept["ctc_loss.dlogits"] = np.exp(log_y) - gamma
    return kept


def part(p, name):
    """The weights below a name: "encoder.layers.0" has "attention.k_proj.weight"."""
    return {key[len(name) + 1 :]: value for key, value in p.items() if key.startswith(f"{name}.")}


def normalise(x):
    """Zero mean, unit variance, over the whole recording."""
    return (x - x.mean()) / np.sqrt(x.var() + 1e-7)


def layer_norm(x, p, eps):
    """Over the channels of each frame."""
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * p["weight"] + p["bias"]


def linear(x, p):
    return x @ p["weight"].T + p["bias"]


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def conv_layer(x, p, stride):
    """A strided convolution (T_in, C_in) → (T, C_out) without padding, layer norm and GELU."""
    weight, bias = p["conv.weight"], p["conv.bias"]  # (C_out, C_in, K)
    K = weight.shape[2]
    T = (len(x) - K) // stride + 1
    windows = np.stack([x[t * stride : t * stride + K].T for t in range(T)])  # (T, C_in, K)
    convolved = np.einsum("tik,oik->to", windows, weight) + bias
    normed = layer_norm(convolved, part(p, "layer_norm"), 1e-5)
    return gelu(normed)


def kernel(p):
    """Weight norm: g · v / ‖v‖, a norm for each tap, over both axes of channels."""
    g, v = p["parametrizations.weight.original0"], p["parametrizations.weight.original1"]  # (1, 1, K), (C, C/G, K)
    return g * v / np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))


def positional(x, p, groups):
    """The positional embedding (T, C): a grouped convolution with K//2 zeros on both sides, and GELU."""
    weight = kernel(p)
    (T, C), K = x.shape, weight.shape[2]
    padded = np.pad(x, ((K // 2, K // 2), (0, 0)))
    y = np.zeros((T + 1 - K % 2, C))
    for group in np.arange(C).reshape(groups, -1):
        for t in range(len(y)):
            y[t, group] = np.einsum("ki,oik->o", padded[t : t + K, group], weight[group])
    y = y[:T]  # for even K there is one frame too many: the last
    return gelu(y + p["bias"])


def block(x, p, heads, eps):
    """A pre-norm Transformer block: its output, and what attention and feed-forward added, each (T, C)."""
    attended = attention(layer_norm(x, part(p, "layer_norm"), eps), part(p, "attention"), heads)
    x = x + attended
    transformed = feed_forward(layer_norm(x, part(p, "final_layer_norm"), eps), part(p, "feed_forward"))
    return x + transformed, attended, transformed


def attention(x, p, heads):
    q, k, v = (linear(x, part(p, name)) for name in ("q_proj", "k_proj", "v_proj"))
    T, C = x.shape
    D = C // heads
    q, k, v = (a.reshape(T, heads, D).transpose(1, 0, 2) for a in (q, k, v))  # (H, T, D)
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(D)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights = weights / weights.sum(axis=2, keepdims=True)
    mixed = (weights @ v).transpose(1, 0, 2).reshape(T, C)
    return linear(mixed, part(p, "out_proj"))


def feed_forward(x, p):
    return linear(gelu(linear(x, part(p, "intermediate_dense"))), part(p, "output_dense"))


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def ctc(log_y, targets, blank):
    """The CTC loss, and gamma (T, V): how probable each token is at each frame, given the targets."""
    places = [blank]
    for target in targets:
        places += [target, blank]
    T, n = len(log_y), len(places)
    skip = [s >= 2 and places[s] != blank and places[s] != places[s - 2] for s in range(n)]
    alpha, beta = np.full((T, n), -np.inf), np.full((T, n), -np.inf)
    alpha[0, :2] = log_y[0, places[:2]]
    beta[-1, -2:] = 0
    for t in range(1, T):
        for s in range(n):
            before = [s] + [s - 1] * (s >= 1) + [s - 2] * skip[s]
            alpha[t, s] = np.logaddexp.reduce(alpha[t - 1, before]) + log_y[t, places[s]]
    for t in range(T - 2, -1, -1):
        for s in range(n):
            after = [s] + [s + 1] * (s + 1 < n) + [s + 2] * (s + 2 < n and skip[s + 2])
            beta[t, s] = np.logaddexp.reduce(beta[t + 1, after] + log_y[t + 1, [places[i] for i in after]])
    log_p = np.logaddexp.reduce(alpha[-1, -2:])
    gamma = np.zeros_like(log_y)
    for s in range(n):
        gamma[:, places[s]] += np.exp(alpha[:, s] + beta[:, s] - log_p)
    return -log_p, gamma
