"""wav2vec 2.0 itself, in the order in which the signal meets it. Read backbone.py first: it is the whole network.

    waveform → feature_encoder → feature_projection → encoder (positional, blocks) → adapter, in some models

Every function takes one utterance `(frames, channels)` and a nested dict of parameters under the checkpoint's names,
and returns its result with what the backward pass will need.
"""
