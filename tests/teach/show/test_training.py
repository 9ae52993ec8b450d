"""The curves of a run: what stands on the paper is what is in the metrics."""

import pytest

from xlsr_ref.teach.show import picture
from xlsr_ref.teach.show.training import training_curves

PRETRAIN = [
    {"step": 20 * n, "loss": 5.0 - n, "contrastive": 4.5 - n, "accuracy": n / 10, "diversity": 0.5 / n, "tau": 2.0 / n,
     "perplexity": [10.0 * n, 12.0 * n], "norm": 1.0 * n, "rate": 1e-4 * n, "seconds_of_audio_per_second": 7.0}
    for n in (1, 2, 3)
]  # fmt: skip
FINETUNE = [
    {"step": 20 * n, "loss": 50.0 - n, "nats_per_token": 3.0 - n / 2, "blanks": 0.9, "norm": 1.0, "rate": 1e-4,
     "seconds_of_audio_per_second": 7.0, "left_out": int(n > 1)} for n in (1, 2, 3)
] + [{"step": 30 * n, "dev": {"a-en": 0.5 / n, "a-ru": 0.7 / n}, "mean": 0.6 / n} for n in (1, 2)]  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """The axes by title, instead of a picture: to render takes a second each."""
    kept = {}

    def render(figure, alt):
        kept.update({ax.get_title(loc="left"): ax for ax in figure.axes})
        return picture.Picture(alt, "<svg/>", b"", 1, 1)

    monkeypatch.setattr(picture, "render", render)
    return kept


def lines(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_pre_training(drawn):
    alt = training_curves("pretrain", PRETRAIN).alt
    assert list(drawn) == [
        "loss (nats per masked frame)", "contrastive accuracy", "codes in use (perplexity)",
        "diversity loss (share of unused codes)", "temperature of the quantizer", "norm of the gradient",
        "learning rate (thousandths)", "seconds of audio per second"]  # fmt: skip
    steps = [20, 40, 60]
    assert lines(drawn["loss (nats per masked frame)"]) == {
        "all terms": (steps, [4.0, 3.0, 2.0]), "contrastive": (steps, [3.5, 2.5, 1.5])}  # fmt: skip
    codes = lines(drawn["codes in use (perplexity)"])
    assert codes["group 0"] == (steps, [10.0, 20.0, 30.0])
    assert codes["group 1"] == (steps, [12.0, 24.0, 36.0])
    assert next(iter(lines(drawn["contrastive accuracy"]).values())) == (steps, [0.1, 0.2, 0.3])
    assert next(iter(lines(drawn["learning rate (thousandths)"]).values()))[1] == pytest.approx([0.1, 0.2, 0.3])
    assert alt == (
        "Pre-training, steps 20 to 60: the loss goes from 4.00 to 2.00; the contrastive accuracy from 0.10 to 0.30; "
        "at the end 30.0 and 36.0 codes of the groups are in use."
    )


def test_fine_tuning(drawn):
    alt = training_curves("finetune", FINETUNE).alt
    dev = lines(drawn["character error rate, dev"])
    assert dev["en"] == ([30, 60], [0.5, 0.25])
    assert dev["ru"] == ([30, 60], [0.7, 0.35])
    assert dev["mean"] == ([30, 60], [0.6, 0.3])
    assert dev["kept"] == ([60], [0.3])
    assert lines(drawn["CTC loss (nats per token)"])["left out"] == ([40], [2.0])
    assert "the lowest mean character error rate on the dev split is 0.300, at step 60" in alt


def test_groups_of_several_lists_have_their_whole_names(drawn):
    checks = [{"step": 30, "dev": {"a-en": 0.5, "b-en": 0.7}, "mean": 0.6}]
    training_curves("finetune", FINETUNE[:3] + checks)
    assert {"a-en", "b-en"} < set(lines(drawn["character error rate, dev"]))


def test_without_a_dev_split_there_is_no_picture_of_it(drawn):
    training_curves("finetune", FINETUNE[:1])
    assert "character error rate, dev" not in drawn
    assert len(drawn) == 5


def test_it_is_a_picture():
    made = training_curves("pretrain", PRETRAIN)
    assert made.svg.startswith("<svg")
    assert made.png.startswith(b"\x89PNG")


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no step has been reported"):
        training_curves("finetune", FINETUNE[3:])
