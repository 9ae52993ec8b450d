"""A stack of blocks: each gets what the one before it put out, and what leaves each of them is a hidden state.

    h₀ = x          h_i = block_i(h_{i−1})          y = h_N

What a block does is the network's own affair: it comes in as ``block(x, i, masks)`` and ``backward(dy, i, cache)``.
Here stands what all networks do with their blocks: which caches are kept (keep.py), layer drop, the dropout before the
first block, and the gradients of a head that looks at the hidden states themselves.
Where layer drop comes from: Fan et al. 2019. Letters: T frames, C channels, N blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.keep import Keep
from xlsr_ref.ops.tree import zeros_like

Block = Callable[[np.ndarray, int, Any], tuple[np.ndarray, Any]]  # x (T, C), number, masks → y (T, C), cache
BlockBackward = Callable[[np.ndarray, int, Any], tuple[np.ndarray, dict]]  # dy (T, C), number, cache → dx, gradients


class EncoderMasks(NamedTuple):
    """What an encoder drops of one utterance while it trains."""

    entering: np.ndarray | None  # (T, C)  what enters block 0: `hidden_dropout`
    blocks: tuple[Any, ...]  # the masks of each block; None: layer drop, the block hands its input on


class BlocksCache(NamedTuple):
    entering: DropoutCache
    states: list[np.ndarray]  # of (T, C)  the hidden states, one more than there are blocks
    blocks: list[Any]  # each block's cache; None where only the block's input is kept, or the block was dropped
    masks: EncoderMasks


def through_blocks(x: np.ndarray, block: Block, masks: EncoderMasks, keep: Keep) -> tuple[np.ndarray, BlocksCache]:
    """``x`` (T, C) through as many blocks as ``masks`` has entries: y (T, C), and the cache."""
    states, blocks = [x], []  # what is not kept leaves its memory to the next block
    x, entering_cache = dropout(x, masks.entering)
    for i, block_masks in enumerate(masks.blocks):
        cache = None
        if block_masks is not None:
            x, cache = block(x, i, block_masks)
        states = [*states, x] if keep else [x]
        blocks.append(cache if keep is True else None)
        del cache
    return x, BlocksCache(entering_cache, states if keep else [], blocks, masks)


def through_blocks_backward(
    dy: np.ndarray,
    cache: BlocksCache,
    block: Block,
    backward: BlockBackward,
    layers: dict,
    dstates: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters ``layers`` of all blocks, from ``dy`` (T, C).

    ``dstates`` are gradients (T, C) of the hidden states themselves, where a head has looked at them (a weighted sum).
    """
    grads: dict = {}
    dx = dy
    for i in reversed(range(len(cache.blocks))):  # undoes: h_i = block_i(h_{i−1}), the last block first
        dx = dx if dstates is None else dx + dstates[i + 1]  # a head looked at what left this block, too
        masks, block_cache = cache.masks.blocks[i], cache.blocks[i]
        if masks is None:  # the block was dropped
            grads[str(i)] = zeros_like(layers[str(i)])
            continue
        if block_cache is None:  # only its input was kept
            x = dropout(cache.states[0], cache.masks.entering)[0] if i == 0 else cache.states[i]
            _, block_cache = block(x, i, masks)
        dx, grads[str(i)] = backward(dx, i, block_cache)
    dx, _ = dropout_backward(dx, cache.entering)  # undoes: dropout
    return (dx if dstates is None else dx + dstates[0]), grads
