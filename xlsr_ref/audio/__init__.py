"""Audio: a recording becomes what the network takes. This file is the front of the folder.

    from xlsr_ref import audio
    x = audio.normalise(audio.read("speech.wav", 16000))       # (L,) float32, zero mean, unit variance

    read, pieces, blocks    a file as samples, whole or piece by piece, or piece by piece at its own rate (read.py)
    from_array, mono        an array as samples; the mean of channels (array.py)
    resample                another sampling rate (resample.py)
    normalise               zero mean, unit variance; measure, rescale, Scale: of a recording in pieces (scale.py)
    Preprocessor, LogMel    what a model expects, from its folder: samples (preprocessor.py) or features (log_mel.py)
    bundled_clips           the recordings that come with the package (clips.py)

Beside these: chunks.py cuts long recordings, segment.py reads parts of them, manifest.py reads the list of a corpus,
and corpus/ corpora of other layouts. Nothing here knows the network.
"""

from xlsr_ref.audio.array import from_array, mono
from xlsr_ref.audio.clips import bundled_clips
from xlsr_ref.audio.log_mel import LogMel
from xlsr_ref.audio.preprocessor import Preprocessor
from xlsr_ref.audio.read import blocks, pieces, read
from xlsr_ref.audio.resample import resample
from xlsr_ref.audio.scale import Scale, measure, normalise, rescale

__all__ = [
    "LogMel",
    "Preprocessor",
    "Scale",
    "blocks",
    "bundled_clips",
    "from_array",
    "measure",
    "mono",
    "normalise",
    "pieces",
    "read",
    "resample",
    "rescale",
]
