"""wav2vec 2.0 itself, in the order in which the signal meets it:

    waveform → feature_encoder → context (projection, positional, blocks) → heads

Every function takes one utterance `(frames, channels)` and a nested dict of parameters under the checkpoint's names,
and returns its result with what the backward pass will need.
"""
