"""Wav2Vec2-BERT 2.0, the second network, in the order in which the signal meets it. Read backbone.py first.

    log-mel features → feature projection → Conformer blocks → intermediate feed-forward and adapter, in some models

Every function takes one utterance `(frames, channels)` and a nested dict of parameters under the checkpoint's names,
and returns its result with what the backward pass will need. What it shares with wav2vec 2.0 stands in ops/; the
features are made in audio/log_mel.py.
"""
