"""Which clips a step learns from: shares of the languages, batches of one length, and a seed that decides it all."""

from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.training.data import JITTER, batches


def clips_of(rng, **counts):
    return [
        Clip(Path(f"{lang}{i}.wav"), lang, "somebody", float(rng.uniform(0.5, 6)), "train", "")
        for lang, n in counts.items()
        for i in range(n)
    ]


def drawn(clips, usable, seconds, alpha, seed=0):
    return batches(clips, usable, seconds, alpha, np.random.default_rng(seed))


def heard(clips, usable, seconds, alpha):
    return list(chain(*drawn(clips, usable, seconds, alpha)))


def test_at_alpha_1_every_clip_comes_once(rng):
    clips = clips_of(rng, de=40, en=7, sw=1)
    usable = [i for i in range(len(clips)) if i % 5]
    assert sorted(heard(clips, usable, 20, 1.0)) == usable


@pytest.mark.parametrize(("alpha", "shares"), [(1.0, (80, 16, 4)), (0.5, (60, 27, 13)), (0.0, (33, 33, 33))])
def test_languages_have_their_shares(rng, alpha, shares):
    """p_l ∝ (n_l / N)^alpha; 80, 16 and 4 of 100 have the roots 8.94, 4 and 2, which are 60, 27 and 13 of 100."""
    clips = clips_of(rng, de=80, en=16, sw=4)
    found = Counter(clips[i].lang for i in heard(clips, range(100), 20, alpha))
    assert [found[lang] for lang in ("de", "en", "sw")] == list(shares)


def test_each_clip_comes_before_any_comes_again(rng):
    clips = clips_of(rng, de=80, en=16, sw=4)
    found = Counter(heard(clips, range(100), 20, 0.0))
    for lang in ("de", "en", "sw"):
        times = [found[i] for i in range(100) if clips[i].lang == lang]
        assert max(times) - min(times) <= 1


def test_batches_are_full_but_not_fuller_and_of_one_length(rng):
    clips = clips_of(rng, de=300)
    made = drawn(clips, range(300), 20.0, 1.0)
    totals = [sum(clips[i].seconds for i in batch) for batch in made]
    assert max(totals) <= 20 + 1e-9
    assert np.mean(totals) > 15  # one more clip of its length would not fit, and none is longer than 6 s
    for batch in made:
        own = [clips[i].seconds for i in batch]
        assert max(own) - min(own) < JITTER + 0.3  # 300 clips in 5.5 s: a batch's neighbours span some 0.1 s


def test_a_clip_that_is_too_long_for_a_batch_has_one_of_its_own(rng):
    clips = clips_of(rng, de=10)
    clips[3] = clips[3]._replace(seconds=50.0)
    assert [3] in drawn(clips, range(10), 12.0, 1.0)


def test_the_seed_decides_all_and_epochs_differ(rng):
    clips = clips_of(rng, de=60, en=30)
    first = drawn(clips, range(90), 15, 0.5)
    assert drawn(clips, range(90), 15, 0.5) == first
    other = drawn(clips, range(90), 15, 0.5, seed=1)
    assert {frozenset(batch) for batch in other} != {frozenset(batch) for batch in first}
    lengths = [np.mean([clips[i].seconds for i in batch]) for batch in first]
    assert lengths != sorted(lengths)  # batches come in random order


def test_the_order_of_languages_in_the_manifest_does_not_decide_their_shares(rng):
    clips = clips_of(rng, sw=5, de=50)
    turned = clips[5:] + clips[:5]
    for some in (clips, turned):
        found = Counter(some[i].lang for i in heard(some, range(55), 20, 0.5))
        assert found == {"de": 42, "sw": 13}  # √50 : √5 of 55
