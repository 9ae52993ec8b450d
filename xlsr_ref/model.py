"""A model: its config, its parameters, and what it makes of a recording. Read this first; then network/.

    waveform ─ feature_encoder ─ feature_projection ─ encoder ─ ctc_head ─ greedy → text
    (L,)        (T, 512)          (T, 1024)            (T, 1024) (T, V)

The widths are XLSR-53's; every size comes from the checkpoint's files. The calls themselves are in network/whole.py.
Where: XLSR, Conneau et al. 2020 (arXiv 2006.13979); wav2vec 2.0, Baevski et al. 2020 (arXiv 2006.11477).
Letters: L samples, T frames, C channels (`hidden_size`), V tokens.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from xlsr_ref import audio
from xlsr_ref.agreement import check_agreement
from xlsr_ref.audio import Preprocessor
from xlsr_ref.chunks import Chunking, chunking
from xlsr_ref.config import Config
from xlsr_ref.errors import (
    AudioError,
    CannotClassifyError,
    CannotTranscribeError,
    DecodingError,
    ObjectiveError,
    WeightsError,
    XlsrError,
)
from xlsr_ref.foreign import model_files
from xlsr_ref.hearing import (
    Progress,
    Recording,
    Source,
    hear,
    in_chunks,
    not_a_recording,
    pieces_of,
    reported,
    taken,
)
from xlsr_ref.hub import local_folder
from xlsr_ref.languages import read_language
from xlsr_ref.network.adapter import adapter_frames
from xlsr_ref.network.classification import probabilities
from xlsr_ref.network.context import encoder, feature_projection, hidden_states
from xlsr_ref.network.feature_encoder import feature_encoder
from xlsr_ref.network.prepare import Prepared, prepare
from xlsr_ref.network.stage import Keep, Stages
from xlsr_ref.network.whole import backward, context_vectors, forward, head_of
from xlsr_ref.network.xvector import embedding, fewest_frames
from xlsr_ref.objectives.finetuning import ctc_losses
from xlsr_ref.objectives.pretraining import PretrainLosses, pretrain_loss
from xlsr_ref.ops import threads
from xlsr_ref.ops.memory import keep_freed_memory
from xlsr_ref.ops.norm import Moments
from xlsr_ref.params import LoadReport, load_params
from xlsr_ref.resampling import check_rate
from xlsr_ref.saving import save
from xlsr_ref.text.align_text import align_words, check_words
from xlsr_ref.text.beam import BEAM_PRUNE, TOKEN_MIN, WIDTH, Search, feed, hypotheses, log_softmax, start
from xlsr_ref.text.beam import search as beam_settings
from xlsr_ref.text.fusion import HOTWORD, fuse
from xlsr_ref.text.greedy import best_path, spell
from xlsr_ref.text.kenlm_file import KenLM
from xlsr_ref.text.labels import labels_of
from xlsr_ref.text.lm import LanguageModel
from xlsr_ref.text.lm_files import Opened, open_lm
from xlsr_ref.text.nbest import transcript_of
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.transcript import Transcript
from xlsr_ref.unmasked import refuse_masked

BUNDLED = Path(__file__).parent / "data" / "small-ctc"


USES = {  # of a model with each head: what to call, and from the command line
    "lm_head": "transcribe(…), or xlsr-ref transcribe",
    "recording": "classify(…), or xlsr-ref classify",
    "frame": "frame_labels(…), from Python",
    "voice": "embed(…), from Python",
}

NBEST = 10  # alternatives in a transcript of the beam search


def load(
    source: Source | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    *,
    language: str | None = None,
    transformers_4: bool = False,
) -> Model:
    """The model in the folder ``source``, in the Hugging Face layout; None is the small one inside the package.

    A ``source`` "OWNER/NAME" or "OWNER/NAME@REVISION" that is no folder here is looked for on the Hugging Face Hub
    (hub.py). ``language`` is the code of one of a multilingual model's languages, such as "fra": its adapters, head and
    vocabulary are taken together (languages.py). ``transformers_4``: a weighted layer sum takes the last state of a
    pre-norm model behind the final norm, as that version did (network/classification.py).

    Without safetensors, torch's and flax's files are read, and so is a fairseq checkpoint, by its name or in a folder
    with its dictionary: without torch, and nothing in them is run (foreign.py).

    ``dtype`` is "float32" (how it runs) or "float64" (how it is verified), whatever the file stores. ``threads`` is how
    many the model computes on; None for `XLSR_REF_THREADS` or, without that, as many as there are cores.
    Raises ConfigError, WeightsError or VocabularyError with one sentence that says what is wrong with the folder, and
    HubError where it could not be had.
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        raise WeightsError(f"dtype is {dtype!r}: it must be float32 or float64") from None
    if threads is not None and (type(threads) is not int or threads < 1):
        raise XlsrError(f"threads is {threads!r}: give a whole number of at least 1")
    keep_freed_memory()
    folder = BUNDLED if source is None else local_folder(source, language)
    with model_files(folder) as (folder, foreign):
        config = Config.from_folder(folder)
        preprocessor = Preprocessor.from_folder(folder)
        of_the_language = None
        if language is not None:
            config, of_the_language, file = read_language(folder, config, language)
        params, report = load_params(folder, config, name, foreign, instead=of_the_language)
        if language is not None:
            report = replace(report, files=(*report.files, file), language=language)
        tokenizer = Tokenizer.from_folder(folder, language) if (folder / "vocab.json").exists() else None
        if tokenizer is not None and "lm_head" in params:
            tokenizer.check_rows(len(params["lm_head"]["weight"]))
        check_agreement(folder, config, len(params["lm_head"]["weight"]) if "lm_head" in params else None, tokenizer)
    return Model(config, params, preprocessor, tokenizer, report, threads, transformers_4)


class Model:
    """A wav2vec 2.0 model: ``config``, ``params`` (nested, under the checkpoint's names), ``tokenizer`` (None without a
    vocabulary), ``preprocessor`` (rate and normalisation), ``report`` (what loading used and what it left),
    ``threads`` (how many it computes on; None for the default) and ``transformers_4`` (see :func:`load`)."""

    def __init__(
        self,
        config: Config,
        params: dict[str, Any],
        preprocessor: Preprocessor,
        tokenizer: Tokenizer | None,
        report: LoadReport,
        threads: int | None = None,
        transformers_4: bool = False,
    ) -> None:
        self.config, self.params, self.preprocessor = config, params, preprocessor
        self.tokenizer, self.report, self.threads = tokenizer, report, threads
        self.transformers_4 = transformers_4
        self._known: Prepared | None = None

    def __repr__(self) -> str:
        return f"Model({self.report.kind}, {self.report.parameters:,} parameters, {self.dtype.name})"

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
        """How far apart two frames of the result are: hop / sampling rate, 0.02 s in the released models; more behind a
        convolutional adapter."""
        return self.config.output_hop / self.preprocessor.sampling_rate

    def save(self, folder: Source) -> None:
        """Write the model into a new ``folder``, from which :func:`load` and transformers read it: config, weights,
        vocabulary and preprocessor; it is whole, or not there (saving.py). Raises XlsrError."""
        save(self, folder)

    # --- the network -------------------------------------------------------------------------------------------------

    def forward(self, waveform: np.ndarray, sampling_rate: int, keep: Keep = True) -> tuple[np.ndarray, Stages]:
        """The whole network on one utterance: logits (T, V) and its stages, by the checkpoint's module paths.

        ``waveform`` (L,) is mono, at the model's ``sampling_rate`` in Hz. A model without a head gives its last hidden
        state (T, C) in place of logits; one that classifies recordings gives (N,), a score for each label.
        ``stages["wav2vec2.encoder.layers.0"].output`` is what that module puts out and ``.cache`` what its backward
        pass needs. ``keep=False`` remembers nothing, ``keep="attention"`` also the attention weights (H, T, T) of each
        block; the logits are the same to the bit. Raises AudioError.
        """
        return self._network(self._input(waveform, sampling_rate), keep)

    def _network(self, x: np.ndarray, keep: Keep, whole: Moments | None = None) -> tuple[np.ndarray, Stages]:
        """From a normalised waveform (L,): see network/whole.py."""
        with self._threads():
            return forward(x, self.params, self.config, keep, self._prepared, whole, self.transformers_4)

    def backward(self, dlogits: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
        """Gradients with respect to the normalised waveform (L,) and every parameter that took part, nested as
        ``params`` is. The quantizer and masked_spec_embed take no part: only pre-training uses them.

        ``dlogits`` (T, V) is a loss's gradient with respect to the result of :meth:`forward`, and ``stages`` what that
        returned with ``keep=True`` or ``"checkpoints"``. Raises ObjectiveError for another shape or dtype.
        """
        with self._threads():
            return backward(dlogits, stages, self.params, self.config, self.transformers_4)

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
        how = self.chunking(0 if chunk_seconds is None else chunk_seconds, stride_seconds)
        x, c = self._mono(waveform, sampling_rate), self.config
        if how.size == 0:
            return self._network(self._normalised(x), keep=False)[0]
        T, V = audio.frames(len(x), c.conv_kernel, c.conv_stride), len(self.params["lm_head"]["weight"])
        logits = np.empty((T, V), self.dtype)
        for frames, own in in_chunks(self, lambda: [x], audio.measure([x]), how):
            logits[frames] = own
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
        progress: Progress | None = None,
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
        progress: Progress | None = None,
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
        progress: Progress | None = None,
    ) -> Transcript | list[Transcript]:
        """The words of a recording, with their times in seconds and a confidence.

        ``recording`` is the path of a sound file, or an array (L,) or (L, channels) with its ``sampling_rate`` in Hz;
        any rate, it is resampled. It may also be {"array": …, "sampling_rate": …}, the bytes of a file, or a file that
        is open for reading them. A list of recordings gives a list of transcripts: they run
        side by side, each at its own length, with the same result as one by one.
        What is longer than 60 s is computed in chunks (chunks.py says how), and a file is then never whole in memory.
        ``chunk_seconds`` cuts all recordings into chunks of this length, and 0 cuts none; of each chunk
        ``stride_seconds`` on each side are context. By default 30 s, and a sixth of the chunk.
        ``beam`` searches for the likeliest text among so many instead of taking each frame's best token; ``lm`` (a file
        or folder, see text/lm_files.py) and ``hotwords`` help it choose, with a beam of 100 unless told.
        ``beam=model.search(…)`` has all settings. ``progress`` is called after each chunk of a single recording, with
        the seconds that are done and all of them.
        Raises AudioError for what cannot be read and CannotTranscribeError for a model without a head or a vocabulary,
        DecodingError and LanguageModelError for settings and files of the search that cannot be used.
        """
        tokenizer = self._require_tokenizer()
        search = self._search(beam, lm, hotwords)
        how = self.chunking(chunk_seconds, stride_seconds)
        if not isinstance(recording, Sequence) or isinstance(recording, str | bytes | bytearray | memoryview):
            return self._transcribe_one(recording, sampling_rate, how, tokenizer, search, progress)
        if len(recording) and isinstance(recording[0], int | float | np.number):
            raise AudioError(not_a_recording(recording))
        transcripts: dict[int, Transcript] = {}

        def one(i: int, item: Recording) -> None:
            transcripts[i] = self._transcribe_one(item, sampling_rate, how, tokenizer, search)

        _ = self._prepared  # made before the utterances go their own ways
        with self._threads():
            threads.run(partial(one, i, item) for i, item in enumerate(recording))
        return [transcripts[i] for i in range(len(recording))]

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

    def _transcribe_one(
        self,
        recording: Recording,
        sampling_rate: int | None,
        how: Chunking,
        tokenizer: Tokenizer,
        search: Search | None,
        progress: Progress | None = None,
    ) -> Transcript:
        with taken(recording, sampling_rate) as (source, rate):
            seconds, parts = hear(self, source, rate, how)
            parts = reported(parts, self, seconds, progress)
            if search is None:
                paths = [best_path(logits, frames.start) for frames, logits in parts]
                best, probability = map(np.concatenate, zip(*paths))
                return spell(best, probability, tokenizer, self.seconds_per_frame, seconds)
            state = start(search)
            for _, logits in parts:
                state = feed(search, state, log_softmax(logits))
        found = hypotheses(search, state, NBEST)
        return transcript_of(found, search.labels, tokenizer, self.seconds_per_frame, seconds)

    def align(
        self,
        recording: Recording,
        text: str,
        sampling_rate: int | None = None,
        *,
        phonemes: bool = False,
        chunk_seconds: float | None = None,
        stride_seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Transcript:
        """When each word and character of ``text``, which is what was said in the recording, is spoken.

        ``recording``, ``sampling_rate``, the chunks and ``progress`` are those of :meth:`transcribe`; of the hours of a
        long one only the log-probabilities are kept. A word that is only "*" stands for anything. Where the model hears
        phonemes, ``text`` goes through the package phonemizer, or is itself in ``phonemes`` with spaces between them.
        Raises AudioError, CannotTranscribeError, VocabularyError, and AlignmentError for a text that is empty, too long
        for the recording, or has what the vocabulary cannot spell.
        """
        tokenizer = self._require_tokenizer()
        how = self.chunking(chunk_seconds, stride_seconds)
        words = tokenizer.words_of(text, phonemes)
        check_words(words, tokenizer, len(self.params["lm_head"]["weight"]))  # before the work, which may take minutes
        with taken(recording, sampling_rate) as (source, rate):
            seconds, parts = hear(self, source, rate, how)
            parts = reported(parts, self, seconds, progress)
            log_probs = np.concatenate([log_softmax(logits).astype(self.dtype) for _, logits in parts])
        return align_words(log_probs, words, tokenizer, self.seconds_per_frame, seconds)

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

    # --- audio in, labels out ----------------------------------------------------------------------------------------

    def classify(self, recording: Recording, sampling_rate: int | None = None) -> dict[str, float]:
        """The probability of each label of a recording, the likeliest first.

        ``recording`` is a path or an array with its ``sampling_rate``, as for :meth:`transcribe`; it is heard in one
        piece. The labels are the config's (`id2label`). Their probabilities sum to 1, unless the config says that
        several labels may be right (`problem_type`): then each stands for itself. Raises AudioError, and
        CannotClassifyError for a model that gives no label to a recording.
        """
        self._require("recording", "gives no label to a recording")
        logits, _ = self._network(self._heard(recording, sampling_rate), keep=False)
        (row,) = probabilities(logits[None], self._several(None))
        order = np.argsort(-row, kind="stable")
        return {self.config.labels[i]: float(row[i]) for i in order}

    def frame_labels(
        self, recording: Recording, sampling_rate: int | None = None, several: bool | None = None
    ) -> np.ndarray:
        """The probability of each label in each frame of a recording: (T, N), its columns in the order of
        ``config.labels``, its rows ``seconds_per_frame`` apart.

        ``several``: may labels be right together, as two speakers are who talk at once? Then each probability stands
        for itself. None for what the config's `problem_type` says. Raises as :meth:`classify` does.
        """
        self._require("frame", "gives no labels to frames")
        logits, _ = self._network(self._heard(recording, sampling_rate), keep=False)
        return probabilities(logits, self._several(several))

    def embed(self, recording: Recording, sampling_rate: int | None = None) -> np.ndarray:
        """The x-vector (E,) of the voice in a recording. The cosine of two is near 1 for one speaker, lower for others.

        ``recording`` is as for :meth:`classify`. Raises AudioError, and CannotClassifyError for another kind of model.
        """
        self._require("voice", "makes no x-vectors")
        with self._threads():
            x = self._heard(recording, sampling_rate)
            vector, _ = context_vectors(x, self.params, self.config, False, self._prepared)
            return embedding(vector, self.params, self.config)[0]

    def _heard(self, recording: Recording, sampling_rate: int | None) -> np.ndarray:
        """A whole recording as the network takes it."""
        with taken(recording, sampling_rate) as (source, rate):
            return self._normalised(np.concatenate(list(pieces_of(self, source, rate)())))

    def _several(self, several: bool | None) -> bool:
        problem = self.config.problem_type
        if problem == "regression":
            raise CannotClassifyError(
                "config.json says problem_type: regression, so the scores are no probabilities: take forward(…)"
            )
        return problem == "multi_label_classification" if several is None else several

    def _require(self, head: str, lacks: str) -> None:
        found = head_of(self.params)
        if found != head:
            instead = "" if found is None else f": use {USES[found]}"
            raise CannotClassifyError(f"this is a {self.report.kind}, which {lacks}{instead}")

    # --- learning ----------------------------------------------------------------------------------------------------

    def ctc_loss(
        self, waveform: np.ndarray, sampling_rate: int, targets: Sequence[int] | np.ndarray, checkpoints: bool = False
    ) -> tuple[float, dict]:
        """−ln p(targets) of one utterance and its gradients, as :meth:`backward` gives them.

        ``waveform`` (L,) is at the model's rate, ``targets`` (S,) are token ids (``tokenizer.encode``), the blank is
        the config's pad token. ``checkpoints`` saves memory: blocks are computed again on the way back.
        Raises ObjectiveError, with the numbers, where the targets do not fit into the frames.
        """
        (loss,), grads = self.ctc_losses([waveform], sampling_rate, [targets], checkpoints)
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
        objectives/finetuning.py has more: dropout, masks, and parts of the network that do not learn.
        """
        self._require_head()
        if len(waveforms) != len(targets) or len(waveforms) == 0:
            raise ObjectiveError(f"there are {len(waveforms)} utterances and {len(targets)} targets: give one for each")
        inputs = [self._input(waveform, sampling_rate) for waveform in waveforms]
        with self._threads():
            heard, grads = ctc_losses(inputs, targets, self.params, self.config, checkpoints=checkpoints)
        return [one.loss for one in heard], grads

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
        for name, arrays in (("spans", spans), ("negatives", negatives), ("gumbel", gumbel)):
            for array in arrays:
                refuse_masked(array, name, ObjectiveError)
        inputs = [self._input(waveform, sampling_rate) for waveform in waveforms]
        with self._threads():
            return pretrain_loss(
                inputs,
                self.params,
                self.config,
                spans,
                negatives,
                gumbel,
                tau,
                feature_penalty_weight=feature_penalty_weight,
                encoder_gradient_scale=encoder_gradient_scale,
                checkpoints=checkpoints,
            )

    # --- what goes in, and what must be there ------------------------------------------------------------------------

    def _input(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        return self._normalised(self._mono(waveform, sampling_rate))

    def _mono(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        rate = self.preprocessor.sampling_rate
        if sampling_rate is not None and check_rate(sampling_rate) != rate:
            raise AudioError(
                f"the model takes {rate} Hz, not {sampling_rate}: resample first, or use transcribe, which does"
            )
        return audio.from_array(waveform, sampling_rate, rate, self.dtype)

    def _normalised(self, waveform: np.ndarray) -> np.ndarray:
        self._require_a_frame(len(waveform))
        return self.preprocessor.normalised(waveform)

    def _require_a_frame(self, samples: int) -> None:
        c = self.config
        audio.require_a_frame(samples, self.preprocessor.sampling_rate, c.conv_kernel, c.conv_stride)
        T = audio.frames(samples, c.conv_kernel, c.conv_stride)
        fewest = fewest_frames(c.tdnn_kernel, c.tdnn_dilation) if head_of(self.params) == "voice" else 1
        if "layer_weights" not in self.params:
            T = adapter_frames(T, c)
        if fewest > T:
            what = f"an x-vector needs {fewest}" if fewest > 1 else "the convolutional adapter needs more"
            raise AudioError(f"{samples} samples make too few frames, {what}: the recording is too short")

    def _require_head(self) -> None:
        head = head_of(self.params)
        if head not in (None, "lm_head"):
            raise CannotTranscribeError(f"this is a {self.report.kind}, which writes no text: use {USES[head]}")
        if head is None:
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
