"""``xlsr-ref pretrain``: see train.py, which pre-training and fine-tuning share."""

from functools import partial

from xlsr_ref.cli import train

add = partial(train.add, "pretrain")
