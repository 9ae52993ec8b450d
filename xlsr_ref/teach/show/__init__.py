"""Pictures for the notebooks: `with show.figure("alt text") as ax: show.waveform(ax, x, 16000)`.

`figure` opens a picture and `style` holds what all pictures share; `ribbon`, `source` and `play` display
something by themselves; every other function draws on the axes that it is given.
"""

from xlsr_ref.teach.show.attention import heads
from xlsr_ref.teach.show.code import source
from xlsr_ref.teach.show.features import code_usage, curves, feature_map, filters, histogram, matrix, similarity
from xlsr_ref.teach.show.file import bits, dump, regions
from xlsr_ref.teach.show.lattice import alignment, lattice, lattices
from xlsr_ref.teach.show.picture import Picture, figure
from xlsr_ref.teach.show.player import Player, play
from xlsr_ref.teach.show.ribbon import ribbon
from xlsr_ref.teach.show.sound import envelope, response, spectrogram, waveform
from xlsr_ref.teach.show.style import COLOURS, DIVERGING, LANGUAGES, SEQUENTIAL

__all__ = [
    "COLOURS",
    "DIVERGING",
    "LANGUAGES",
    "SEQUENTIAL",
    "Picture",
    "Player",
    "alignment",
    "bits",
    "code_usage",
    "curves",
    "dump",
    "envelope",
    "feature_map",
    "figure",
    "filters",
    "heads",
    "histogram",
    "lattice",
    "lattices",
    "matrix",
    "play",
    "regions",
    "response",
    "ribbon",
    "similarity",
    "source",
    "spectrogram",
    "waveform",
]
