"""A model and its verbs: each is a function in a file of its own, bound here. Read wav2vec2/backbone.py next.

    waveform ─ feature_encoder ─ feature_projection ─ encoder ─ ctc_head ─ greedy → text
    (L,)        (T, 512)          (T, 1024)            (T, 1024) (T, V)

The widths are XLSR-53's; every size comes from the checkpoint's files.
Where: XLSR, Conneau et al. 2020 (arXiv 2006.13979); wav2vec 2.0, Baevski et al. 2020 (arXiv 2006.11477).
Letters: L samples, T frames, C channels (`hidden_size`), V tokens.
"""

from __future__ import annotations

from xlsr_ref.model.align import align
from xlsr_ref.model.classify import classify, embed, frame_labels
from xlsr_ref.model.inside import backward, forward, hidden_states
from xlsr_ref.model.losses import ctc_loss, ctc_losses, pretrain_loss
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.recording_logits import logits
from xlsr_ref.model.save import save
from xlsr_ref.model.search import search
from xlsr_ref.model.stream import stream
from xlsr_ref.model.transcribe import transcribe


class Model(Parts):
    """A wav2vec 2.0 model: ``config``, ``params`` (nested, under the checkpoint's names), ``tokenizer`` (None without a
    vocabulary), ``preprocessor`` (rate and normalisation), ``report`` (what loading used and what it left) and
    ``threads`` (how many it computes on; None for the default). It comes from :func:`xlsr_ref.load`."""

    # audio in, text out
    transcribe = transcribe
    stream = stream
    align = align
    search = search
    logits = logits

    # audio in, labels out
    classify = classify
    frame_labels = frame_labels
    embed = embed

    # looking inside
    forward = forward
    backward = backward
    hidden_states = hidden_states

    # learning
    ctc_loss = ctc_loss
    ctc_losses = ctc_losses
    pretrain_loss = pretrain_loss

    save = save
