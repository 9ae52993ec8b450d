"""What a run says of itself."""

import pytest

from xlsr_ref.training.report import LEGEND, Step, means, progress_line

PRETRAIN = {
    "step": 99, "epoch": 3, "loss": 4.687, "contrastive": 4.616, "diversity": 0.7093, "accuracy": 0.02386,
    "perplexity": [301.4453, 287.7588], "tau": 1.98111, "masked_frames": 448.95, "norm": 0.718953, "rate": 6.5625e-05,
    "left_out": 0, "seconds_of_audio_per_second": 26.881,
}  # fmt: skip
FINETUNE = {
    "step": 99, "epoch": 3, "loss": 88.4212, "nats_per_token": 2.5123, "blanks": 0.8512, "norm": 12.5, "rate": 1e-3,
    "left_out": 0, "seconds_of_audio_per_second": 26.881,
}  # fmt: skip


def test_a_line_of_pre_training():
    assert progress_line(PRETRAIN, 2000) == (
        "step   99/2000  loss 4.687  accuracy 0.024  diversity 0.709  perplexity 301.4 287.8  "
        "tau 1.981  norm 0.719  26.9 s/s"
    )


def test_a_line_of_fine_tuning():
    assert progress_line(FINETUNE, 2000) == (
        "step   99/2000  loss 88.4  nats/token 2.512  blanks 0.851  norm 12.5  rate 1.0e-03  26.9 s/s"
    )


@pytest.mark.parametrize("report", [PRETRAIN, FINETUNE])
def test_a_line_has_room_for_the_longest_runs(report):
    for seconds, left in ((75, "1:15 left"), (3999, "1.1h left"), (400000, "111h left")):
        line = progress_line(report | {"step": 123456, "seconds_left": seconds}, 400000)
        assert len(line) <= 120
        assert line.endswith(f"s/s  {left}")
    assert len(progress_line(report | {"step": 123456}, 400000)) <= 120


def test_steps_that_were_left_out_are_counted():
    assert progress_line(FINETUNE | {"left_out": 2}, 2000).endswith("s/s  left out 2")


def test_means_are_those_of_the_steps():
    numbers = [(10.0, 1.0, 1.0, [2.0, 4.0]), (20.0, 2.0, 2.0, [4.0, 8.0]), (20.0, 7.0, 6.0, [6.0, 9.0])]
    steps = [Step(seconds, took, {"loss": loss, "perplexity": codes}) for seconds, took, loss, codes in numbers]
    assert means(steps) == {"loss": 3.0, "perplexity": [4.0, 7.0], "seconds_of_audio_per_second": 5.0}


def test_the_legend_fits_on_a_screen():
    assert all(len(line) <= 120 for text in LEGEND.values() for line in text.splitlines())
