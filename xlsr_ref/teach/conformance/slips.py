"""The known mistakes in a port of the network: what each is called, and which text of network.py it changes.

They are in the order of the stages. A mistake is found by its numbers, in the first stage that it changes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xlsr_ref.teach.grade.definition import Mistake

_GELU = "x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))"
_SCALE = " / math.sqrt(D)"
_NORMED = 'attended = attention(layer_norm(x, part(p, "layer_norm"), eps), '
_LAST = "    return x + transformed, attended, transformed"

WAVEFORM: dict[str, tuple[str, ...]] = {
    "the waveform is not normalised": ("return (x - x.mean()) / np.sqrt(x.var() + 1e-7)", "return x"),
    "the waveform's mean is not taken away": ("(x - x.mean()) / np.sqrt(x.var()", "x / np.sqrt(x.var()"),
    "the waveform is divided by its peak": ("np.sqrt(x.var() + 1e-7)", "np.abs(x - x.mean()).max()"),
    "the waveform is normalised without 1e-7": ("x.var() + 1e-7", "x.var()"),
    "the waveform is normalised with 1e-5": ("x.var() + 1e-7", "x.var() + 1e-5"),
    "1e-7 is added outside the root": ("np.sqrt(x.var() + 1e-7)", "(np.sqrt(x.var()) + 1e-7)"),
    "the waveform's variance is divided by L − 1": ("np.sqrt(x.var() +", "np.sqrt(x.var(ddof=1) +"),
    "samples as 16-bit whole numbers, not normalised": (
        "return (x - x.mean()) / np.sqrt(x.var() + 1e-7)",
        "return np.round(x * 32768)",
    ),
}
CONVOLUTIONS: dict[str, tuple[str, ...]] = {
    "kernels turned round in time": ("windows, weight)", "windows, weight[:, :, ::-1])"),
    "no bias in the convolutions": ("windows, weight) + bias", "windows, weight)"),
    "GELU of the convolutions forgotten": ("    return gelu(normed)", "    return normed"),
    "norm after GELU, not before it": (
        '    normed = layer_norm(convolved, part(p, "layer_norm"), 1e-5)\n    return gelu(normed)',
        '    return layer_norm(gelu(convolved), part(p, "layer_norm"), 1e-5)',
    ),
    "norm of the convolutions over the frames, as group norm has it": (
        'layer_norm(convolved, part(p, "layer_norm"), 1e-5)',
        "(convolved - convolved.mean(axis=0)) / np.sqrt(convolved.var(axis=0) + 1e-5) "
        '* p["layer_norm.weight"] + p["layer_norm.bias"]',
    ),
    "norm of the convolutions forgotten": (
        'normed = layer_norm(convolved, part(p, "layer_norm"), 1e-5)',
        "normed = convolved",
    ),
    "convolutions padded to keep the ends": (
        "    T = (len(x) - K) // stride + 1\n    windows",
        "    x = np.pad(x, ((K // 2, K // 2), (0, 0)))\n    T = (len(x) - K) // stride + 1\n    windows",
    ),
    "a reshape for a transpose: kernels read as (C_out, K, C_in)": (
        'weight, bias = p["conv.weight"], p["conv.bias"]',
        'weight, bias = p["conv.weight"], p["conv.bias"]\n'
        "    weight = weight.reshape(weight.shape[0], weight.shape[2], -1).transpose(0, 2, 1)",
    ),
    "tanh GELU": (_GELU, "x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"),
    "sigmoid GELU": (_GELU, "x / (1 + np.exp(-1.702 * x))"),
    "ReLU in place of GELU": (_GELU, "np.maximum(x, 0)"),
    "layer norm without eps": ("np.sqrt(var + eps)", "np.sqrt(var)"),
    "eps of layer norm is 1e-12": ("np.sqrt(var + eps)", "np.sqrt(var + 1e-12)"),
    "eps of layer norm is 1e-6": ("np.sqrt(var + eps)", "np.sqrt(var + 1e-6)"),
    "eps of layer norm is added outside the root": ("np.sqrt(var + eps)", "(np.sqrt(var) + eps)"),
    "the variance of layer norm is divided by C − 1": ("x.var(axis=-1, keepdims", "x.var(axis=-1, ddof=1, keepdims"),
    "weight and bias of layer norm forgotten": (' * p["weight"] + p["bias"]\n\n\ndef linear', "\n\n\ndef linear"),
}
PROJECTION: dict[str, tuple[str, ...]] = {
    "norm of the feature projection forgotten": (
        'layer_norm(x, part(p, "feature_projection.layer_norm"), eps)',
        "x",
    ),
    "biases of the linear layers forgotten": ('return x @ p["weight"].T + p["bias"]', 'return x @ p["weight"].T'),
    "weight norm over the wrong axes: one for each output channel": ("axis=(0, 1), keepdims", "axis=(1, 2), keepdims"),
    "one norm for the whole positional kernel": ("axis=(0, 1), keepdims", "axis=None, keepdims"),
    "weight norm over the output channels only": ("axis=(0, 1), keepdims", "axis=0, keepdims"),
    "the positional kernel is v: weight norm forgotten": (
        "g * v / np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))",
        "v + 0 * g",
    ),
    "g and v of weight norm: g · v, not divided by the norm": (
        " / np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))",
        "",
    ),
    "the extra frame of the positional convolution is not trimmed": (
        "    y = y[:T]  #",
        "    #",
        "    x = x + position\n",
        "    x = x + position[: len(x)]\n",
    ),
    "the first frame of the positional convolution is trimmed, not the last": ("y = y[:T]  #", "y = y[-T:]  #"),
    "the positional convolution is padded on the left only": ("(K // 2, K // 2)", "(K - 1, 1)"),
    "the positional kernel is turned round in time": ("weight[group])", "weight[group][:, :, ::-1])"),
    "groups of the positional convolution take every G-th channel": (
        "np.arange(C).reshape(groups, -1)",
        "np.arange(C).reshape(-1, groups).T",
    ),
    "bias of the positional convolution forgotten": ('gelu(y + p["bias"])', "gelu(y)"),
    "GELU of the positional convolution forgotten": ('return gelu(y + p["bias"])', 'return y + p["bias"]'),
}
BLOCKS: dict[str, tuple[str, ...]] = {
    "the positional embedding is not added": ("    x = x + position\n", ""),
    "the positional embedding replaces x": ("    x = x + position\n", "    x = position\n"),
    "post-norm blocks in place of pre-norm": (
        _NORMED,
        "attended = attention(x, ",
        '    x = x + attended\n    transformed = feed_forward(layer_norm(x, part(p, "final_layer_norm"), eps), ',
        '    x = layer_norm(x + attended, part(p, "layer_norm"), eps)\n    transformed = feed_forward(x, ',
        _LAST,
        '    return layer_norm(x + transformed, part(p, "final_layer_norm"), eps), attended, transformed',
    ),
    "the encoder's norm before the blocks, as in wav2vec2-base": (
        '    for i in range(config["num_hidden_layers"]):',
        '    x = layer_norm(x, part(p, "encoder.layer_norm"), eps)\n    for i in range(config["num_hidden_layers"]):',
    ),
    "the norm before attention forgotten": (_NORMED, "attended = attention(x, "),
    "the two norms of a block exchanged": (
        'part(p, "layer_norm"), eps), part(p, "attention")',
        'part(p, "final_layer_norm"), eps), part(p, "attention")',
        'part(p, "final_layer_norm"), eps), part(p, "feed_forward")',
        'part(p, "layer_norm"), eps), part(p, "feed_forward")',
    ),
    "the scale 1/√D of attention is missing": (_SCALE, ""),
    "attention is divided by D, not by √D": (_SCALE, " / D"),
    "attention is divided by √C, not by √D": (_SCALE, " / math.sqrt(C)"),
    "heads split by reshape alone, without a transpose": (
        ".reshape(T, heads, D).transpose(1, 0, 2)",
        ".reshape(heads, T, D)",
    ),
    "heads merged by reshape alone, without a transpose": (".transpose(1, 0, 2).reshape(T, C)", ".reshape(T, C)"),
    "heads split and merged by reshape alone": (
        ".reshape(T, heads, D).transpose(1, 0, 2)",
        ".reshape(heads, T, D)",
        "(weights @ v).transpose(1, 0, 2)",
        "(weights @ v)",
    ),
    "heads take every H-th channel": (
        ".reshape(T, heads, D).transpose(1, 0, 2)",
        ".reshape(T, D, heads).transpose(2, 0, 1)",
    ),
    "softmax of attention over the queries": (
        "scores.max(axis=2",
        "scores.max(axis=1",
        "weights.sum(axis=2",
        "weights.sum(axis=1",
    ),
    "softmax of attention is not divided by its sum": (
        "weights = weights / weights.sum(axis=2, keepdims=True)",
        "weights = weights + 0",
    ),
    "a causal mask in attention": ("    weights = np.exp(scores", "    weights = np.tri(T) * np.exp(scores"),
    "queries and keys exchanged": ("q @ k.transpose(0, 2, 1)", "k @ q.transpose(0, 2, 1)"),
    "one head in place of several": ("    D = C // heads", "    heads = 1\n    D = C // heads"),
    "the output projection of attention forgotten": ('return linear(mixed, part(p, "out_proj"))', "return mixed"),
    "no residual around attention": ("    x = x + attended\n", "    x = attended\n"),
    "the residual around attention begins after the norm": (
        "    x = x + attended\n",
        '    x = layer_norm(x, part(p, "layer_norm"), eps) + attended\n',
    ),
    "the norm before the feed-forward forgotten": (
        'feed_forward(layer_norm(x, part(p, "final_layer_norm"), eps), ',
        "feed_forward(x, ",
    ),
    "GELU of the feed-forward forgotten": (
        'linear(gelu(linear(x, part(p, "intermediate_dense"))), ',
        'linear(linear(x, part(p, "intermediate_dense")), ',
    ),
    "no residual around the feed-forward": (_LAST, "    return transformed, attended, transformed"),
    "every block has the weights of the first": (
        'name = f"encoder.layers.{i}"\n        x, attended, transformed = block(x, part(p, name)',
        'name = f"encoder.layers.{i}"\n        x, attended, transformed = block(x, part(p, "encoder.layers.0")',
    ),
}
HEAD: dict[str, tuple[str, ...]] = {
    "the encoder's last norm forgotten": ('layer_norm(x, part(p, "encoder.layer_norm"), eps)', "x"),
    "probabilities, not their logarithms": (
        "return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))",
        "return np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)",
    ),
    "softmax over the frames": (
        "x.max(axis=1, keep",
        "x.max(axis=0, keep",
        "np.exp(shifted).sum(axis=1",
        "np.exp(shifted).sum(axis=0",
    ),
    "logarithms to base 10": ("shifted - np.log(np.exp(shifted)", "shifted / math.log(10) - np.log10(np.exp(shifted)"),
    "CTC's blank is the last token": (
        "    places = [blank]\n",
        "    blank = log_y.shape[1] - 1\n    places = [blank]\n",
    ),
    "CTC's blank is token 1": ("    places = [blank]\n", "    blank = 1\n    places = [blank]\n"),
    "CTC without the skip over a blank": ("skip = [s >= 2 and", "skip = [False and"),
    "CTC skips the blank between equal letters": (" and places[s] != places[s - 2] for", " for"),
    "CTC begins on the blank only": ("alpha[0, :2] = log_y[0, places[:2]]", "alpha[0, :1] = log_y[0, places[:1]]"),
    "CTC ends on the last blank only": ("log_p = np.logaddexp.reduce(alpha[-1, -2:])", "log_p = alpha[-1, -1]"),
    "the CTC loss is divided by the number of targets": ("return -log_p, gamma", "return -log_p / len(targets), gamma"),
    "the CTC loss is divided by the number of frames": ("return -log_p, gamma", "return -log_p / T, gamma"),
    "the best path in place of the sum over all": (
        "np.logaddexp.reduce(alpha[t - 1, before])",
        "np.max(alpha[t - 1, before])",
        "log_p = np.logaddexp.reduce(alpha[-1, -2:])",
        "log_p = np.max(alpha[-1, -2:])",
    ),
    "the sign of the CTC loss": ("return -log_p, gamma", "return log_p, gamma"),
    "the sign of the gradient": ("np.exp(log_y) - gamma", "gamma - np.exp(log_y)"),
    "the gradient with respect to the log-probabilities, not to the logits": ("np.exp(log_y) - gamma", "-gamma"),
    "the gradient is divided by the number of frames": (
        "np.exp(log_y) - gamma",
        "(np.exp(log_y) - gamma) / len(log_y)",
    ),
    "the gradient is divided by the number of targets": (
        "np.exp(log_y) - gamma",
        "(np.exp(log_y) - gamma) / len(targets)",
    ),
    "= in place of +=: a token that comes twice has the gradient of its last place": (
        "gamma[:, places[s]] += np.exp(",
        "gamma[:, places[s]] = np.exp(",
    ),
    "y of the same frame counts twice, in α and in β": (
        "+ beta[:, s] - log_p)",
        "+ beta[:, s] + log_y[:, places[s]] - log_p)",
    ),
}


@functools.cache
def slips() -> tuple[Mistake, ...]:
    """All known mistakes, in the order of the stages."""
    every = WAVEFORM | CONVOLUTIONS | PROJECTION | BLOCKS | HEAD
    return tuple(Mistake(words, tuple(zip(way[::2], way[1::2]))) for words, way in every.items())


@functools.cache
def defined(source: str) -> Callable[..., dict[str, Any]]:
    """``network.stages`` of a text of network.py."""
    names: dict[str, Any] = {}
    exec(compile(source, "<a network with a mistake>", "exec", dont_inherit=True), names)
    return names["stages"]
