"""transformers' own samplers of spans and negatives, draw for draw, on top of the package's."""

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.masking import negatives_from_draws


def compute_mask_indices(
    shape: tuple[int, int],
    mask_prob: float,
    mask_length: int,
    random: np.random.RandomState,
    attention_mask: np.ndarray | None = None,
    min_masks: int = 0,
) -> np.ndarray:
    """transformers' `_compute_mask_indices`, draw for draw: (N, T) bool for a padded batch of ``shape`` (N, T).

    ``attention_mask`` (N, T) is 1 on the frames that are no padding. Two quirks are kept: one ε serves the whole batch,
    and an utterance that gets no span, while the longest would, has the batch's last frame masked, which is padding.
    Raises ObjectiveError for T < M or M < 1.
    """
    N, T = shape
    if not 1 <= mask_length <= T:
        raise ObjectiveError(f"mask_length is {mask_length}: it must be from 1 to the number of frames, {T}")
    epsilon = random.rand(1).item()

    def count(length: int) -> int:
        wanted = max(int(mask_prob * length / mask_length + epsilon), min_masks)
        return max(min(wanted, T // mask_length, length - mask_length + 1), 0)

    mask = np.zeros(shape, bool)
    if count(T) == 0:
        return mask
    lengths = [T] * N if attention_mask is None else np.asarray(attention_mask).sum(axis=-1).astype(int)
    for row, length in zip(mask, lengths):
        starts = random.choice(np.arange(length - mask_length + 1), count(length), replace=False)
        if len(starts):
            row[starts[:, None] + np.arange(mask_length)] = True
        else:
            row[-1] = True
    return mask


def sample_negative_indices(
    features_shape: tuple[int, int], num_negatives: int, random: np.random.RandomState, mask: np.ndarray | None = None
) -> np.ndarray:
    """transformers' `_sample_negative_indices`, draw for draw: (N, T, K) indices into the N·T frames of a padded batch.

    Rows of frames that are not masked in ``mask`` (N, T) hold their utterance's first frame. Raises ObjectiveError for
    an utterance with a single masked frame, where transformers raises ValueError.
    """
    N, T = features_shape
    masks = np.ones(features_shape, bool) if mask is None else np.asarray(mask, bool)
    negatives = np.zeros((N, T, num_negatives), np.int32)
    for i, row in enumerate(masks):
        n = int(row.sum())
        if n == 1:
            raise ObjectiveError(f"utterance {i} has a single masked frame: there are no others to draw from")
        draws = random.randint(0, max(n - 1, 1), size=(n, num_negatives))
        negatives[i][row] = negatives_from_draws(row, draws)
        negatives[i] += i * T
    return negatives
