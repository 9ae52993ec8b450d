"""A model: its config, its parameters, and what it makes of a recording. Read this first; then network/.

    waveform ─ feature_encoder ─ feature_projection ─ encoder ─ ctc_head ─ greedy → text
    (L,)        (T, 512)          (T, 1024)            (T, 1024) (T, V)

The widths are XLSR-53's; every size comes from the checkpoint's files. `Model.forward` is the whole network in four
calls. Where: XLSR, Conneau et al. 2020 (arXiv 2006.13979); wav2vec 2.0, Baevski et al. 2020 (arXiv 2006.11477).
Letters: L samples, T frames, C channels (`hidden_size`), V tokens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from xlsr_ref import audio
from xlsr_ref.audio import Preprocessor, Scale
from xlsr_ref.chunks import Chunk, Chunking, chunking, chunks, cut, first_pass
from xlsr_ref.config import Config
from xlsr_ref.errors import (
    AudioError,
    CannotTranscribeError,
    DecodingError,
    ObjectiveError,
    WeightsError,
    XlsrError,
)
from xlsr_ref.network.context import (
    encoder,
    encoder_backward,
    feature_projection,
    feature_projection_backward,
    hidden_states,
)
from xlsr_ref.network.feature_encoder import feature_encoder, feature_encoder_backward, first_moments
from xlsr_ref.network.heads import ctc_head, ctc_head_backward
from xlsr_ref.network.prepare import Prepared, prepare
from xlsr_ref.network.stage import Keep, Stage, Stages, remember
from xlsr_ref.objectives.ctc import ctc_loss, ctc_loss_backward
from xlsr_ref.objectives.pretraining import PretrainLosses, pretrain_loss
from xlsr_ref.ops import threads
from xlsr_ref.ops.memory import keep_freed_memory
from xlsr_ref.ops.norm import Moments
from xlsr_ref.ops.upstream import require_upstream
from xlsr_ref.params import LoadReport, add_to, load_params
from xlsr_ref.text.beam import BEAM_PRUNE, TOKEN_MIN, WIDTH, Search, beam_search, feed, hypotheses, log_softmax, start
from xlsr_ref.text.beam import search as beam_settings
from xlsr_ref.text.fusion import HOTWORD, fuse
from xlsr_ref.text.greedy import best_path, greedy, spell
from xlsr_ref.text.kenlm_file import KenLM
from xlsr_ref.text.labels import labels_of
from xlsr_ref.text.lm import LanguageModel
from xlsr_ref.text.lm_files import Opened, open_lm
from xlsr_ref.text.nbest import transcript_of
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.transcript import Transcript

BUNDLED = Path(__file__).parent / "data" / "small-ctc"

Source = str | os.PathLike[str]
Recording = Source | np.ndarray
Pieces = Callable[[], Iterable[np.ndarray]]  # a recording, piece by piece, as often as it is called

NBEST = 10  # alternatives in a transcript of the beam search

STATISTICS_ROWS = 4096  # of the first convolution, made at once where only group norm's statistics are wanted


def load(source: Source | None = None, dtype: str = "float32", threads: int | None = None) -> Model:
    """The model in the folder ``source``, in the Hugging Face layout; None is the small one inside the package.

    ``dtype`` is "float32" (how it runs) or "float64" (how it is verified), whatever the file stores. ``threads`` is how
    many the model computes on; None for `XLSR_REF_THREADS` or, without that, as many as there are cores.
    Raises ConfigError, WeightsError or VocabularyError with one sentence that says what is wrong with the folder.
    """
    folder = BUNDLED if source is None else Path(source)
    try:
        name = np.dtype(dtype).name
    except TypeError:
        raise WeightsError(f"dtype is {dtype!r}: it must be float32 or float64") from None
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise XlsrError(f"threads is {threads!r}: give a whole number of at least 1")
    keep_freed_memory()
    config = Config.from_folder(folder)
    preprocessor = Preprocessor.from_folder(folder)
    params, report = load_params(folder, config, name)
    tokenizer = Tokenizer.from_folder(folder) if (folder / "vocab.json").exists() else None
    if tokenizer is not None and "lm_head" in params:
        tokenizer.check_rows(len(params["lm_head"]["weight"]))
    return Model(config, params, preprocessor, tokenizer, report, threads)


class Model:
    """A wav2vec 2.0 model: ``config``, ``params`` (nested, under the checkpoint's names), ``tokenizer`` (None without a
    vocabulary), ``preprocessor`` (rate and normalisation), ``report`` (what loading used and what it left) and
    ``threads`` (how many it computes on; None for the default)."""

    def __init__(
        self,
        config: Config,
        params: dict[str, Any],
        preprocessor: Preprocessor,
        tokenizer: Tokenizer | None,
        report: LoadReport,
        threads: int | None = None,
    ) -> None:
        self.config, self.params, self.preprocessor = config, params, preprocessor
        self.tokenizer, self.report, self.threads = tokenizer, report, threads
        self._known: Prepared | None = None

    def __repr__(self) -> str:
        return f"Model({self.report.kind}, {self.report.parameters:,} parameters, {self.dtype.name})"

    @property
    def _prefix(self) -> str:
        return "wav2vec2." if "wav2vec2" in self.params else ""

    @property
    def _backbone(self) -> dict[str, Any]:
        return self.params.get("wav2vec2", self.params)

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: of the parameters, and so of everything computed with them."""
        return self._backbone["encoder"]["layer_norm"]["weight"].dtype

    @contextmanager
    def _threads(self) -> Iterator[None]:
        with threads.use(self.threads), threads.one_blas_thread():
            yield

    @property
    def seconds_per_frame(self) -> float:
        """How far apart two frames are: hop / sampling rate, 0.02 s in the released models."""
        return self.config.hop / self.preprocessor.sampling_rate

    # --- the network -------------------------------------------------------------------------------------------------

    def forward(self, waveform: np.ndarray, sampling_rate: int, keep: Keep = True) -> tuple[np.ndarray, Stages]:
        """The whole network on one utterance: logits (T, V) and its stages, by the checkpoint's module paths.

        ``waveform`` (L,) is mono, at the model's ``sampling_rate`` in Hz. A model without an lm_head gives its last
        hidden state (T, C) in place of logits. ``stages["wav2vec2.encoder.layers.0"].output`` is what that module puts
        out and ``.cache`` what its backward pass needs. ``keep=False`` remembers nothing, ``keep="attention"`` also the
        attention weights (H, T, T) of each block; the logits are the same to the bit. Raises AudioError.
        """
        return self._network(self._input(waveform, sampling_rate), keep)

    def _network(self, x: np.ndarray, keep: Keep, whole: Moments | None = None) -> tuple[np.ndarray, Stages]:
        p, eps, base = self._backbone, self.config.layer_norm_eps, self._prefix
        stages: Stages = {}
        with self._threads():
            prepared = self._prepared
            features, inner = feature_encoder(x, p["feature_extractor"], self.config, keep, prepared.matrices, whole)
            stages |= _under(f"{base}feature_extractor.", inner)
            del x  # what is not needed any more leaves its memory to the next stage
            projected, cache = feature_projection(features, p["feature_projection"], eps)
            remember(stages, f"{base}feature_projection", projected, cache, keep)
            del features, cache
            context, inner = encoder(projected, p["encoder"], self.config, keep, prepared.positional)
            stages |= _under(f"{base}encoder.", inner)
            if "lm_head" not in self.params:
                return context, stages
            logits, head_cache = ctc_head(context, self.params["lm_head"])
            remember(stages, "lm_head", logits, head_cache, keep)
        return logits, stages

    def backward(self, dlogits: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
        """Gradients with respect to the normalised waveform (L,) and every parameter that took part, nested as
        ``params`` is. The quantizer and masked_spec_embed take no part: only pre-training uses them.

        ``dlogits`` (T, V) is a loss's gradient with respect to the result of :meth:`forward`, and ``stages`` what that
        returned with ``keep=True`` or ``"checkpoints"``. Raises ObjectiveError for another shape or dtype.
        """
        p, base = self._backbone, self._prefix
        y = next(reversed(stages.values())).output if stages else None
        if y is None or stages[f"{base}feature_projection"].cache is None:
            raise ObjectiveError("forward kept nothing to go back through: call it with keep=True")
        require_upstream(dlogits, y.shape, y.dtype)
        grads: dict = {}
        dcontext = dlogits
        with self._threads():
            if "lm_head" in self.params:
                dcontext, head_grads = ctc_head_backward(dlogits, stages["lm_head"].cache)  # undoes: ctc_head
                grads["lm_head"] = head_grads
            inner = _within(f"{base}encoder.", stages)
            dprojected, encoder_grads = encoder_backward(dcontext, inner, p["encoder"], self.config)  # undoes: encoder
            projection = stages[f"{base}feature_projection"].cache
            dfeatures, projection_grads = feature_projection_backward(dprojected, projection)  # undoes: the projection
            inner = _within(f"{base}feature_extractor.", stages)
            dwaveform, extractor_grads = feature_encoder_backward(dfeatures, inner)  # undoes: feature_encoder
        backbone = {
            "feature_extractor": extractor_grads,
            "feature_projection": projection_grads,
            "encoder": encoder_grads,
        }
        return dwaveform, grads | ({"wav2vec2": backbone} if base else backbone)

    def logits(
        self,
        waveform: np.ndarray,
        sampling_rate: int,
        *,
        chunk_seconds: float | None = None,
        stride_seconds: float | None = None,
    ) -> np.ndarray:
        """Unnormalised log-probabilities (T, V) of ``waveform`` (L,), at the model's rate.

        In one piece, unless ``chunk_seconds`` asks for chunks: see :meth:`transcribe`. Raises AudioError, and
        CannotTranscribeError where the model has no lm_head.
        """
        self._require_head()
        how = chunking(0 if chunk_seconds is None else chunk_seconds, stride_seconds, self.seconds_per_frame)
        x, c = self._mono(waveform, sampling_rate), self.config
        if how.size == 0:
            return self._network(self._normalised(x), keep=False)[0]
        T, V = audio.frames(len(x), c.conv_kernel, c.conv_stride), len(self.params["lm_head"]["weight"])
        logits = np.empty((T, V), self.dtype)
        for chunk, own in self._in_chunks(lambda: [x], audio.measure([x]), how):
            logits[chunk.frames] = own
        return logits

    def hidden_states(self, waveform: np.ndarray, sampling_rate: int) -> list[np.ndarray]:
        """The hidden states, each (T, C), one more than there are blocks: [0] enters the first block, [i] leaves the
        i-th. The final norm of a pre-norm model is not among them. ``waveform`` (L,) is at the model's rate. Raises
        AudioError."""
        x, p, prepared = self._input(waveform, sampling_rate), self._backbone, self._prepared
        with self._threads():
            features, _ = feature_encoder(x, p["feature_extractor"], self.config, False, prepared.matrices)
            projected, _ = feature_projection(features, p["feature_projection"], self.config.layer_norm_eps)
            _, stages = encoder(projected, p["encoder"], self.config, "outputs", prepared.positional)
        return hidden_states(projected, stages, self.config)

    @property
    def _prepared(self) -> Prepared:
        """Derived once for speed, and again when what it comes from has been replaced."""
        self._known = prepare(self._backbone, self._known)
        return self._known

    # --- audio in, text out ------------------------------------------------------------------------------------------

    @overload  # a str is a sequence of str, too: it is a path
    def transcribe(  # type: ignore[overload-overlap]
        self,
        recording: Recording,
        sampling_rate: int | None = None,
        *,
        chunk_seconds: float | None = None,
        stride_seconds: float | None = None,
        beam: int | Search | None = None,
        lm: Source | LanguageModel | KenLM | Opened | None = None,
        hotwords: Mapping[str, float] | Collection[str] = (),
    ) -> Transcript: ...
    @overload
    def transcribe(
        self,
        recording: Sequence[Recording],
        sampling_rate: int | None = None,
        *,
        chunk_seconds: float | None = None,
        stride_seconds: float | None = None,
        beam: int | Search | None = None,
        lm: Source | LanguageModel | KenLM | Opened | None = None,
        hotwords: Mapping[str, float] | Collection[str] = (),
    ) -> list[Transcript]: ...
    def transcribe(
        self,
        recording: Recording | Sequence[Recording],
        sampling_rate: int | None = None,
        *,
        chunk_seconds: float | None = None,
        stride_seconds: float | None = None,
        beam: int | Search | None = None,
        lm: Source | LanguageModel | KenLM | Opened | None = None,
        hotwords: Mapping[str, float] | Collection[str] = (),
    ) -> Transcript | list[Transcript]:
        """The words of a recording, with their times in seconds and a confidence.

        ``recording`` is the path of a file that libsndfile reads, or an array (L,) or (L, channels) with its
        ``sampling_rate`` in Hz; any rate, it is resampled. A list of recordings gives a list of transcripts: they run
        side by side, each at its own length, with the same result as one by one.
        What is longer than 60 s is computed in chunks (chunks.py says how), and a file is then never whole in memory.
        ``chunk_seconds`` cuts all recordings into chunks of this length, and 0 cuts none; of each chunk
        ``stride_seconds`` on each side are context. By default 30 s, and a sixth of the chunk.
        ``beam`` searches for the likeliest text among so many instead of taking each frame's best token; ``lm`` (a file
        or folder, see text/lm_files.py) and ``hotwords`` help it choose, with a beam of 100 unless told.
        ``beam=model.search(…)`` has all settings.
        Raises AudioError for what cannot be read and CannotTranscribeError for a model without a head or a vocabulary,
        DecodingError and LanguageModelError for settings and files of the search that cannot be used.
        """
        tokenizer = self._require_tokenizer()
        search = self._search(beam, lm, hotwords)
        how = chunking(chunk_seconds, stride_seconds, self.seconds_per_frame)
        if isinstance(recording, str | os.PathLike | np.ndarray):
            return self._transcribe_one(recording, sampling_rate, how, tokenizer, search)
        if not isinstance(recording, Sequence):
            raise AudioError(f"a recording is a path or an array, not {type(recording).__name__}")
        transcripts: dict[int, Transcript] = {}

        def one(i: int, item: Recording) -> None:
            transcripts[i] = self._transcribe_one(item, sampling_rate, how, tokenizer, search)

        _ = self._prepared  # made before the utterances go their own ways
        with self._threads():
            threads.run(partial(one, i, item) for i, item in enumerate(recording))
        return [transcripts[i] for i in range(len(recording))]

    def _transcribe_one(
        self,
        recording: Recording,
        sampling_rate: int | None,
        how: Chunking,
        tokenizer: Tokenizer,
        search: Search | None,
    ) -> Transcript:
        pieces, rate = self._pieces(recording, sampling_rate), self.preprocessor.sampling_rate
        scale, short = first_pass(pieces(), how.above * rate)
        duration = scale.samples / rate
        if short is not None:
            logits, _ = self._network(self._normalised(short), keep=False)
            if search is None:
                return greedy(logits, tokenizer, self.seconds_per_frame, duration)
            found = beam_search(log_softmax(logits), search, NBEST)
            return transcript_of(found, search.labels, tokenizer, self.seconds_per_frame, duration)
        if search is not None:
            state = start(search)
            for _, logits in self._in_chunks(pieces, scale, how):
                state = feed(search, state, log_softmax(logits))
            found = hypotheses(search, state, NBEST)
            return transcript_of(found, search.labels, tokenizer, self.seconds_per_frame, duration)
        paths = [best_path(logits, chunk.frames.start) for chunk, logits in self._in_chunks(pieces, scale, how)]
        best, probability = map(np.concatenate, zip(*paths))
        return spell(best, probability, tokenizer, self.seconds_per_frame, duration)

    def search(
        self,
        beam: int = WIDTH,
        lm: Source | LanguageModel | KenLM | Opened | None = None,
        hotwords: Mapping[str, float] | Collection[str] = (),
        *,
        alpha: float | None = None,
        beta: float | None = None,
        unknown: float | None = None,
        hotword_weight: float = HOTWORD,
        closed: bool = False,
        level: str | None = None,
        beam_prune: float = BEAM_PRUNE,
        token_min: float = TOKEN_MIN,
    ) -> Search:
        """A beam search over this model's labels, for ``transcribe(…, beam=…)``.

        ``lm`` is a language model or where it lies; ``alpha``, ``beta`` and ``unknown`` are its weights, by default
        those that came with it. text/fusion.py explains these, ``hotwords``, ``closed`` and ``level``; text/beam.py the
        last two. Raises DecodingError and LanguageModelError.
        """
        labels = labels_of(self._require_tokenizer(), len(self.params["lm_head"]["weight"]))
        found = open_lm(lm) if isinstance(lm, str | os.PathLike) else lm
        opened = found if isinstance(found, Opened) else Opened(found)
        opened.check(labels)
        fusion = fuse(
            labels,
            opened.lm,
            alpha=opened.alpha if alpha is None else alpha,
            beta=opened.beta if beta is None else beta,
            unknown=opened.unknown if unknown is None else unknown,
            boundary=opened.boundary,
            hotwords=hotwords,
            hotword_weight=hotword_weight,
            words=opened.words,
            closed=closed,
            level=level,
        )
        return beam_settings(labels, fusion, width=beam, beam_prune=beam_prune, token_min=token_min)

    def _search(
        self,
        beam: int | Search | None,
        lm: Source | LanguageModel | KenLM | Opened | None,
        hotwords: Mapping[str, float] | Collection[str],
    ) -> Search | None:
        if isinstance(beam, Search):
            if lm is not None or hotwords:
                raise DecodingError(
                    "the search has its language model and hotwords already: give them to model.search(…)"
                )
            return beam
        if beam is None and lm is None and not hotwords:
            return None
        return self.search(WIDTH if beam is None else beam, lm, hotwords)

    def _pieces(self, recording: Recording, sampling_rate: int | None) -> Pieces:
        rate = self.preprocessor.sampling_rate
        if isinstance(recording, np.ndarray):
            waveform = audio.from_array(recording, sampling_rate, rate, self.dtype)
            return lambda: [waveform]
        return lambda: audio.pieces(recording, rate, self.dtype)

    def _in_chunks(self, pieces: Pieces, scale: Scale, how: Chunking) -> Iterator[tuple[Chunk, np.ndarray]]:
        """Each chunk of a recording and the logits (T', V) of its own frames, one chunk after the other."""
        c, p = self.config, self._backbone["feature_extractor"]
        self._require_a_frame(scale.samples)

        def heard(parts: Sequence[slice]) -> Iterator[np.ndarray]:
            for x in cut(pieces(), parts):
                yield audio.rescale(x, scale) if self.preprocessor.do_normalize else x

        plan = chunks(scale.samples, how.size, how.context, c.conv_kernel, c.conv_stride)
        whole = None
        if c.feat_extract_norm == "group" and len(plan) > 1:  # its statistics are those of the whole recording
            rows = chunks(scale.samples, STATISTICS_ROWS, 0, c.conv_kernel[:1], c.conv_stride[:1])
            with self._threads():
                whole = first_moments(heard([row.samples for row in rows]), p, c)
        for chunk, x in zip(plan, heard([chunk.samples for chunk in plan])):
            logits, _ = self._network(x, keep=False, whole=whole)
            yield chunk, logits[chunk.own]

    # --- learning ----------------------------------------------------------------------------------------------------

    def ctc_loss(
        self, waveform: np.ndarray, sampling_rate: int, targets: Sequence[int] | np.ndarray, checkpoints: bool = False
    ) -> tuple[float, dict]:
        """−ln p(targets) of one utterance and its gradients, as :meth:`backward` gives them.

        ``waveform`` (L,) is at the model's rate, ``targets`` (S,) are token ids (``tokenizer.encode``), the blank is
        the config's pad token. ``checkpoints`` saves memory: blocks are computed again on the way back.
        Raises ObjectiveError, with the numbers, where the targets do not fit into the frames.
        """
        self._require_head()
        blank = self.config.pad_token_id
        if blank is None:
            raise ObjectiveError("config.json has no pad_token_id, which is the blank of CTC")
        logits, stages = self.forward(waveform, sampling_rate, "checkpoints" if checkpoints else True)
        loss, cache = ctc_loss(logits, targets, blank)
        _, grads = self.backward(ctc_loss_backward(1.0, cache), stages)
        return loss, grads

    def ctc_losses(
        self,
        waveforms: Sequence[np.ndarray],
        sampling_rate: int,
        targets: Sequence[Sequence[int] | np.ndarray],
        checkpoints: bool = False,
    ) -> tuple[list[float], dict]:
        """:meth:`ctc_loss` of several utterances, side by side: each loss, and the sum of the gradients.

        Gradients are added in the order of the utterances: any number of threads gives the same bits.
        """
        if len(waveforms) != len(targets) or len(waveforms) == 0:
            raise ObjectiveError(f"there are {len(waveforms)} utterances and {len(targets)} targets: give one for each")
        losses = [0.0] * len(waveforms)
        total: dict = {}
        waiting: dict[int, dict] = {}  # gradients whose predecessors are not all added yet
        added, lock = 0, threading.Lock()

        def one(i: int) -> None:
            nonlocal added
            losses[i], grads = self.ctc_loss(waveforms[i], sampling_rate, targets[i], checkpoints)
            with lock:
                waiting[i] = grads
                while added in waiting:
                    add_to(total, waiting.pop(added))
                    added += 1

        _ = self._prepared  # made before the utterances go their own ways
        with self._threads():
            threads.run(partial(one, i) for i in range(len(waveforms)))
        return losses, total

    def pretrain_loss(
        self,
        waveforms: Sequence[np.ndarray],
        sampling_rate: int,
        spans: Sequence[np.ndarray],
        negatives: Sequence[np.ndarray],
        gumbel: Sequence[np.ndarray],
        tau: float,
        *,
        feature_penalty_weight: float = 0.0,
        encoder_gradient_scale: float = 1.0,
        checkpoints: bool = False,
    ) -> tuple[PretrainLosses, dict]:
        """The losses of pre-training on a list of ``waveforms`` (L,), and the total's gradient, nested like ``params``.

        One of each per utterance: ``spans`` (T,) bool and ``negatives`` (n, K) from objectives/masking.py, ``gumbel``
        noise (T, G, V) from network/quantizer.py. ``tau`` is the quantizer's temperature. The rest is described in
        objectives/pretraining.py. Raises AudioError and ObjectiveError.
        """
        inputs = [self._input(waveform, sampling_rate) for waveform in waveforms]
        brakes = {"feature_penalty_weight": feature_penalty_weight, "encoder_gradient_scale": encoder_gradient_scale}
        with self._threads():
            return pretrain_loss(
                inputs, self.params, self.config, spans, negatives, gumbel, tau, checkpoints=checkpoints, **brakes
            )

    # --- what goes in, and what must be there ------------------------------------------------------------------------

    def _input(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        return self._normalised(self._mono(waveform, sampling_rate))

    def _mono(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        rate = self.preprocessor.sampling_rate
        if sampling_rate is not None and sampling_rate != rate:
            raise AudioError(
                f"the model takes {rate} Hz, not {sampling_rate}: resample first, or use transcribe, which does"
            )
        return audio.from_array(waveform, sampling_rate, rate, self.dtype)

    def _normalised(self, waveform: np.ndarray) -> np.ndarray:
        self._require_a_frame(len(waveform))
        return audio.normalise(waveform) if self.preprocessor.do_normalize else waveform

    def _require_a_frame(self, samples: int) -> None:
        c = self.config
        audio.require_a_frame(samples, self.preprocessor.sampling_rate, c.conv_kernel, c.conv_stride)

    def _require_head(self) -> None:
        if "lm_head" not in self.params:
            raise CannotTranscribeError(
                f"this is a {self.report.kind}, pretrained on sound alone: it has no lm_head and no vocabulary, so "
                "it has no text to give; take its hidden_states(…), or a checkpoint that was fine-tuned with CTC"
            )

    def _require_tokenizer(self) -> Tokenizer:
        self._require_head()
        if self.tokenizer is None:
            raise CannotTranscribeError(
                "the model's folder has no vocab.json, so its logits cannot be spelled: add the file, or use logits(…)"
            )
        return self.tokenizer


def _under(prefix: str, stages: Stages) -> dict[str, Stage]:
    return {prefix + name: stage for name, stage in stages.items()}


def _within(prefix: str, stages: Stages) -> Stages:
    return {name.removeprefix(prefix): stage for name, stage in stages.items() if name.startswith(prefix)}
