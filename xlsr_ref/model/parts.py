"""What a model consists of: a network, a preprocessor, a tokenizer and the report of loading; and what each verb asks.

The verbs themselves are functions of these parts, each in a file of its own; model.py binds them in the class Model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xlsr_ref import audio
from xlsr_ref.audio.chunks import Chunking, chunking
from xlsr_ref.audio.log_mel import LogMel
from xlsr_ref.audio.preprocessor import Preprocessor, require_a_frame
from xlsr_ref.audio.resample import check_rate
from xlsr_ref.errors import AudioError, CannotClassifyError, CannotTranscribeError
from xlsr_ref.heads.xvector import fewest_frames
from xlsr_ref.model.heads import head_of
from xlsr_ref.model.network import Network
from xlsr_ref.model.report import LoadReport
from xlsr_ref.settings import Settings
from xlsr_ref.text.tokenizer import Tokenizer


class Parts:
    """A ``network`` (config, params, threads), a ``preprocessor`` (rate and normalisation), a ``tokenizer`` (None
    without a vocabulary), and a ``report`` (what loading used and what it left)."""

    def __init__(
        self,
        config: Settings,
        params: dict[str, Any],
        preprocessor: Preprocessor | LogMel,
        tokenizer: Tokenizer | None,
        report: LoadReport,
        threads: int | None = None,
        transformers_4: bool = False,
    ) -> None:
        self.network = Network(params, config, threads, transformers_4)
        self.preprocessor, self.tokenizer, self.report = preprocessor, tokenizer, report

    def __repr__(self) -> str:
        return f"Model({self.report.kind}, {self.report.parameters:,} parameters, {self.dtype.name})"

    @property
    def config(self) -> Settings:
        """The settings of config.json."""
        return self.network.config

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, nested, under the checkpoint's names."""
        return self.network.params

    @params.setter
    def params(self, params: dict[str, Any]) -> None:
        self.network.params = params

    @property
    def threads(self) -> int | None:
        """How many threads the model computes on; None for the default."""
        return self.network.threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        self.network.threads = threads

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: of the parameters, and so of everything computed with them."""
        return self.network.dtype

    @property
    def seconds_per_frame(self) -> float:
        """How far apart two frames of the result are: hop / sampling rate, 0.02 s in the released models; more after a
        convolutional adapter."""
        return self.config.output_hop / self.preprocessor.sampling_rate

    # --- what goes in ------------------------------------------------------------------------------------------------

    def input(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """``waveform`` (L,) or (L, channels), at the model's rate, as the network takes it. Raises AudioError."""
        return self.normalised(self.mono(waveform, sampling_rate))

    def mono(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """The same, one channel, not yet normalised."""
        rate = self.preprocessor.sampling_rate
        if sampling_rate is not None and check_rate(sampling_rate) != rate:
            raise AudioError(
                f"the model takes {rate} Hz, not {sampling_rate}: resample first, or use transcribe, which does"
            )
        return audio.from_array(waveform, sampling_rate, rate, self.dtype)

    def normalised(self, waveform: np.ndarray) -> np.ndarray:
        """A whole mono recording (L,) as the network takes it: normalised samples (L,), or features (rows, F)."""
        self.require_a_frame(len(waveform))
        return self.preprocessor.normalised(waveform)

    def require_a_frame(self, samples: int) -> None:
        """Raise AudioError where ``samples`` are too few for one frame, or for what stands above the frames."""
        c = self.config
        require_a_frame(samples, self.preprocessor.sampling_rate, c.fewest_samples)
        T = c.frames(samples)
        fewest = fewest_frames(c.tdnn_kernel, c.tdnn_dilation) if self.network.head == "xvector" else 1
        if "layer_weights" not in self.params:
            T = c.adapter_frames(T)
        if fewest > T:
            what = f"an x-vector needs {fewest}" if fewest > 1 else "the convolutional adapter needs more"
            raise AudioError(f"{samples} samples make too few frames, {what}: the recording is too short")

    def chunking(self, chunk_seconds: float | None = None, stride_seconds: float | None = None) -> Chunking:
        """How a long recording is cut, for the arguments of that name of :meth:`transcribe`.

        Above a convolutional adapter frames are not where chunks.py cuts: a recording is one piece, however long.
        Raises AudioError for what is no length, and for a length where there is one piece only.
        """
        if not self.config.add_adapter:
            return chunking(chunk_seconds, stride_seconds, self.seconds_per_frame)
        if chunk_seconds or stride_seconds:
            raise AudioError(
                "a model with a convolutional adapter takes a recording in one piece: give no chunk length"
            )
        return chunking(0, None, self.seconds_per_frame)

    # --- what must be there ------------------------------------------------------------------------------------------

    def require_ctc_head(self) -> None:
        """Raise CannotTranscribeError for a model that writes no text."""
        head = self.network.head
        if head not in (None, "ctc"):
            raise CannotTranscribeError(
                f"this is a {self.report.kind}, which writes no text: use {head_of(self.params).use}"
            )
        if head is None:
            raise CannotTranscribeError(
                f"this is a {self.report.kind}, pretrained on sound alone: it has no lm_head and no vocabulary, so "
                "it has no text to give; take its hidden_states(…), or a checkpoint that was fine-tuned with CTC"
            )

    def require_tokenizer(self) -> Tokenizer:
        """The tokenizer of a model that writes text. Raises CannotTranscribeError for any other."""
        self.require_ctc_head()
        if self.tokenizer is None:
            raise CannotTranscribeError(
                "the model's folder has no vocab.json, so its logits cannot be spelled: add the file, or use logits(…)"
            )
        return self.tokenizer

    def require_head(self, head: str, lacks: str) -> None:
        """Raise CannotClassifyError for a model with another head."""
        own = self.network.head
        if own != head:
            instead = "" if own is None else f": use {head_of(self.params).use}"
            raise CannotClassifyError(f"this is a {self.report.kind}, which {lacks}{instead}")
