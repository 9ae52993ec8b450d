"""An array of samples becomes what the network takes: floats, one channel, the model's rate.

    int16, int32, uint8 → [−1, 1)      channels → their mean      rate → the model's (resample.py)

A value that is no sample (NaN, Inf, or absurdly large) is refused with its place and second.
Letters: L samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xlsr_ref.audio.resample import check_rate, float_type, resample
from xlsr_ref.errors import AudioError
from xlsr_ref.unmasked import refuse_masked

LOUDEST = 1e12  # int32 samples written as floats reach 2e9; beyond this a file is damaged, and float32 would overflow


def from_array(array: Any, sampling_rate: Any, target_rate: int, dtype: Any = "float32") -> np.ndarray:
    """An array (L,) or (L, channels) at ``sampling_rate`` Hz as (L',) mono samples at ``target_rate``.

    Floats are taken as they are; int16, int32 and uint8 are scaled by their range to [-1, 1). The input is never
    changed (the result may be the input itself where there is nothing to do). Raises AudioError.
    """
    if sampling_rate is None:
        raise AudioError("an array does not say its sampling rate, and it is not guessed: give sampling_rate in Hz")
    rate, target, numbers = check_rate(sampling_rate), check_rate(target_rate), float_type(dtype)
    refuse_masked(array, "the samples", AudioError)
    try:
        array = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors that live elsewhere
        raise AudioError(f"cannot be made into an array of samples ({' '.join(str(error).split())})") from None
    if array.ndim not in (1, 2):
        raise AudioError(f"an array of shape {array.shape} is not audio: give (samples,) or (samples, channels)")
    if array.size == 0:
        raise AudioError(f"an array of shape {array.shape} holds no samples")
    if array.ndim == 2 and array.shape[1] > array.shape[0]:
        raise AudioError(f"an array of shape {array.shape} has more channels than samples: transpose it (array.T)")
    samples = _scaled(array)
    require_finite(samples, rate)
    return resample(np.require(mono(samples), numbers, ["C", "A"]), rate, target)  # contiguous and aligned


def _scaled(array: np.ndarray) -> np.ndarray:
    """Floats as they are (half precision as float32), integers as float64 in [-1, 1)."""
    kind = array.dtype.kind, array.dtype.itemsize  # not the dtype itself, which has a byte order
    if kind[0] == "f":
        return array.astype(np.result_type(array, np.float32), copy=False)
    if kind in (("i", 2), ("i", 4)):
        return array / 2.0 ** (8 * kind[1] - 1)
    if kind == ("u", 1):
        return (array - 128.0) / 128.0
    raise AudioError(f"samples of type {array.dtype} are not audio: give float32, float64, int16, int32 or uint8")


def mono(x: np.ndarray) -> np.ndarray:
    """The mean of the channels of ``x`` (L, channels), in float64: (L,). One channel, or (L,), is returned as it is."""
    if x.ndim == 1:
        return x
    return x[:, 0] if x.shape[1] == 1 else x.mean(axis=1, dtype=np.float64)


def require_finite(x: np.ndarray, sampling_rate: int | None = None, where: str = "", start: int = 0) -> None:
    """Raise AudioError that says where the first NaN, Inf or absurd value of ``x`` (L,) or (L, channels) stands.

    ``where`` opens the message; ``start`` is the number of samples that came before ``x``.
    """
    fine = np.abs(x) < LOUDEST  # False for NaN, too
    if fine.all():
        return
    first = tuple(np.argwhere(~fine)[0])
    place = f"sample {start + first[0]}"
    if sampling_rate:
        place += f", at {(start + first[0]) / sampling_rate:.4f} s"
    raise AudioError(f"{where}a sample is {x[first]:.6g} ({place}): not audio")
