"""Audio in: a recording on disk, or an array, becomes what the network eats.

    file → samples in [-1, 1) → mono → the model's rate → zero mean, unit variance

The network was trained at one rate and on one scale, so both are fixed here, once, before the first convolution sees
anything. The rate and whether to normalise come from the model folder's ``preprocessor_config.json``. A file is read in
pieces, so that a long one is never whole in memory unless :func:`read` asks for it.
Nothing here knows the network. Letters: L samples.
"""

from __future__ import annotations

import math
import os
import reprlib
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref import sndfile
from xlsr_ref.errors import AudioError, ConfigError
from xlsr_ref.ffmpeg import decoded, is_for_ffmpeg
from xlsr_ref.ops.conv_length import receptive_field
from xlsr_ref.resampling import check_rate, float_type, resample, resample_pieces
from xlsr_ref.unmasked import refuse_masked
from xlsr_ref.untrusted import model_folder, read_json, shown

LOUDEST = 1e12  # int32 samples written as floats reach 2e9; beyond this a file is damaged, and float32 would overflow
BLOCK = 1 << 18  # values decoded at a time: memory follows what a file holds, never what its header promises


# --- what the model expects ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preprocessor:
    """What a model expects of its input. The defaults are those of transformers' Wav2Vec2FeatureExtractor."""

    sampling_rate: int = 16000  # Hz
    do_normalize: bool = True  # zero mean, unit variance over the whole recording

    def normalised(self, x: np.ndarray) -> np.ndarray:
        """A whole recording ``x`` (L,) as the network takes it: by :func:`normalise`, where the model asks for that."""
        return normalise(x) if self.do_normalize else x

    @classmethod
    def from_folder(cls, folder: str | Path) -> Preprocessor:
        """Read ``processor_config.json`` (its ``feature_extractor`` part, if it has one) or else
        ``preprocessor_config.json``, in transformers' order; a setting or file that is absent keeps its default.

        Raises ConfigError, naming the file: broken JSON, a wrong type, a rate that cannot be, another extractor.
        """
        path = model_folder(folder, ConfigError) / "processor_config.json"
        found = None
        if path.exists():
            nested = read_json(path, ConfigError)
            found = nested.get("feature_extractor", nested.get("audio_processor"))
        if found is None:
            path = path.with_name("preprocessor_config.json")
            found = read_json(path, ConfigError) if path.exists() else {}
        if not isinstance(found, dict):
            raise ConfigError(f"{path}: feature_extractor is {reprlib.repr(found)}; it should be a JSON object")
        kind = found.get("feature_extractor_type") or "Wav2Vec2FeatureExtractor"
        if kind != "Wav2Vec2FeatureExtractor":
            raise ConfigError(
                f"{path}: feature_extractor_type is {reprlib.repr(kind)}; only Wav2Vec2FeatureExtractor is implemented"
            )
        if found.get("feature_size", 1) != 1:
            raise ConfigError(f"{path}: feature_size is {reprlib.repr(found['feature_size'])}; a waveform has size 1")
        rate = check_rate(found.get("sampling_rate", cls.sampling_rate), f"{path}: sampling_rate", ConfigError)
        do_normalize = found.get("do_normalize", cls.do_normalize)
        if not isinstance(do_normalize, bool):
            raise ConfigError(f"{path}: do_normalize is {reprlib.repr(do_normalize)}; it should be true or false")
        return cls(rate, do_normalize)


def require_a_frame(
    samples: int, sampling_rate: int, conv_kernel: tuple[int, ...], conv_stride: tuple[int, ...]
) -> None:
    """Raise AudioError if ``samples`` are too few for one frame."""
    field = receptive_field(conv_kernel, conv_stride)
    if samples < field:
        raise AudioError(
            f"{samples} samples ({samples / sampling_rate:.4f} s at {sampling_rate} Hz) are too few: "
            f"one frame needs {field} ({field / sampling_rate:.4f} s)"
        )


# --- reading ---------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str], sampling_rate: int, dtype: Any = "float32") -> np.ndarray:
    """The recording in ``path`` as (L,) mono samples at ``sampling_rate`` Hz, in float32 or float64.

    Any format that libsndfile knows, or, where that program is installed, ffmpeg; any rate, any channel count.
    Raises AudioError, naming the file.
    An MP3 of varying bit rate that lacks its Xing header is read only as far as libsndfile guesses it to be long.
    """
    found: list[np.ndarray] = []
    try:
        found.extend(pieces(path, sampling_rate, dtype))
        return np.concatenate(found)
    except MemoryError:
        seconds = sum(map(len, found)) / sampling_rate
        raise MemoryError(f"{shown(path)}, a recording of at least {seconds:,.0f} s") from None


def pieces(path: str | os.PathLike[str], sampling_rate: int, dtype: Any = "float32") -> Iterator[np.ndarray]:
    """The samples of :func:`read`, piece by piece, each (n,); at least one comes. Raises AudioError, see blocks."""
    target, stream = check_rate(sampling_rate), blocks(path, dtype)
    first, rate = next(stream)
    yield from resample_pieces(chain([first], (piece for piece, _ in stream)), rate, target)


def blocks(path: str | os.PathLike[str], dtype: Any = "float32") -> Iterator[tuple[np.ndarray, int]]:
    """The recording in ``path``, piece by piece: (n,) mono samples, and the file's own rate in Hz.

    At least one piece comes. Raises AudioError, at the latest after the last piece, if the file is not whole.
    """
    name = shown(path)
    _require_a_file(path, name)
    numbers, done = float_type(dtype), 0
    if is_for_ffmpeg(path):
        yield from _blocks_of_ffmpeg(path, name, numbers)
        return
    trouble = "is not audio that libsndfile can read"
    try:
        with sndfile.opened(path) as stream:
            trouble = "is cut short or damaged"
            rate = check_rate(stream.samplerate, f"{name}: the sampling rate in its header")
            if stream.format == "RAW":  # libsndfile takes any text for raw samples if it is called x.au or x.vox
                raise AudioError(f"{name}: is not audio, whatever its name says")
            at_once = max(1, BLOCK // stream.channels)
            while (todo := min(at_once, stream.frames - done)) > 0:
                with sndfile.silence():
                    piece = stream.read(todo, dtype="float64", always_2d=True)  # (n, channels), integers in [-1, 1)
                if len(piece) == 0:
                    break
                require_finite(piece, rate, f"{name}: ", done)
                done += len(piece)
                yield mono(piece).astype(numbers), rate
            missing = sndfile.missing(path, stream, done)
    except (RuntimeError, TypeError, OSError) as error:  # soundfile's own errors are RuntimeErrors
        reason = " ".join(getattr(error, "error_string", str(error)).split())
        raise AudioError(f"{name}: {trouble} ({reason})") from None
    if missing:
        raise AudioError(f"{name}: is cut short or damaged: {missing}")
    if done == 0:
        raise AudioError(f"{name}: holds no samples")


def _blocks_of_ffmpeg(path: str | os.PathLike[str], name: str, numbers: Any) -> Iterator[tuple[np.ndarray, int]]:
    """What :func:`blocks` gives, for a file that libsndfile does not read."""
    done = 0
    for piece, header_rate in decoded(path, name, BLOCK):
        rate = check_rate(header_rate, f"{name}: the sampling rate in its header")
        require_finite(piece, rate, f"{name}: ", done)
        done += len(piece)
        yield mono(piece).astype(numbers), rate
    if done == 0:
        raise AudioError(f"{name}: holds no samples")


def _require_a_file(path: str | os.PathLike[str], name: str) -> None:
    try:
        found = os.stat(path)
    except (OSError, ValueError, TypeError) as error:  # ValueError: a NUL in the name
        raise AudioError(f"{name}: cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    if stat.S_ISDIR(found.st_mode):
        raise AudioError(f"{name}: is a folder; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(f"{name}: is not a regular file; save the recording to one first")
    if found.st_size == 0:
        raise AudioError(f"{name}: is empty (0 bytes)")


# --- arrays ----------------------------------------------------------------------------------------------------------


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


# --- scale -----------------------------------------------------------------------------------------------------------


class Scale(NamedTuple):
    """What normalising must know of a whole recording."""

    samples: int
    mean: float
    std: float  # sqrt(var + 1e-7)


def normalise(x: np.ndarray, sampling_rate: int | None = None) -> np.ndarray:
    """(x - mean) / sqrt(var + 1e-7) over all of ``x`` (L,), population variance, in x's dtype; silence stays silence.

    Mean and variance are taken in float64 and the result is rounded once. Raises AudioError for no samples, and for
    NaN or Inf (with its second where ``sampling_rate`` is given). As Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
    """
    refuse_masked(x, "the samples", AudioError)
    float_type(x.dtype)
    if len(x) == 0:
        raise AudioError("there are no samples to normalise")
    require_finite(x, sampling_rate)
    return rescale(x, measure([x]))


def measure(pieces: Iterable[np.ndarray]) -> Scale:
    """The scale of a recording that comes in ``pieces`` (n,) of any sizes, in float64. Their sizes change no bit.

        mean = m₁ + δ n₂/n      squares = s₁ + s₂ + δ² n₁ n₂/n      δ = m₂ - m₁, n = n₁ + n₂

    joins two stretches that follow each other (Chan, Golub & LeVeque 1983); squares are Σ (x - mean)².
    """
    samples, mean, squares = 0, 0.0, 0.0
    for stretch in _even(pieces, BLOCK):
        wide = stretch.astype(np.float64)
        its_mean = wide.mean()
        delta, total = its_mean - mean, samples + len(wide)
        squares += np.square(wide - its_mean).sum() + delta * delta * (samples * len(wide) / total)
        mean += delta * (len(wide) / total)
        samples = total
    return Scale(samples, float(mean), math.sqrt(squares / max(samples, 1) + 1e-7))


def rescale(x: np.ndarray, scale: Scale) -> np.ndarray:
    """``x`` (n,), a part of the recording that has this ``scale``, normalised as the whole would be."""
    y = np.empty_like(x)
    for start in range(0, len(x), BLOCK):  # little of it is in float64 at any time
        y[start : start + BLOCK] = (x[start : start + BLOCK].astype(np.float64) - scale.mean) / scale.std
    return y


def _even(pieces: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The samples of ``pieces`` in stretches of ``length``; the last one is what remains."""
    held: list[np.ndarray] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= length:
            x = np.concatenate(held) if len(held) > 1 else piece
            whole = len(x) // length * length
            yield from (x[start : start + length] for start in range(0, whole, length))
            held = [x[whole:]]
    if any(map(len, held)):
        yield np.concatenate(held)
