"""The heads as one table: how each is recognised, its forward and backward pass, its stages, and what it is used for.

A head belongs to a model whose parameters have all the names that tell it; the first row that fits counts.
To add a head: a file in heads/, and a row here. Its parameters' shapes: ops/shapes.py.
Letters: T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from xlsr_ref.heads.ctc import ctc_head, ctc_head_backward
from xlsr_ref.heads.frame_classification import frame_head, frame_head_backward
from xlsr_ref.heads.sequence_classification import SequenceCache, sequence_head, sequence_head_backward
from xlsr_ref.heads.xvector import XVectorCache, xvector_head, xvector_head_backward

HeadName = Literal["ctc", "sequence classification", "frame classification", "xvector"]
StageRow = tuple[str, np.ndarray, Any]  # a module's path, what it put out, its cache


class Head(NamedTuple):
    name: HeadName | None
    told_by: tuple[str, ...]  # parameters that a model with this head has
    forward: Callable[[np.ndarray, dict, Any], tuple[np.ndarray, Any]]  # x (T, C), params, config → y, cache
    backward: Callable[[np.ndarray, Any], tuple[np.ndarray, dict]]
    stages: Callable[[np.ndarray, Any], Iterator[StageRow]]  # of y and the cache
    use: str = ""  # what to call, and from the command line


def head_of(params: Mapping[str, Any]) -> Head:
    """The head that ``params`` have; NO_HEAD for none."""
    return next((head for head in HEADS if all(name in params for name in head.told_by)), NO_HEAD)


# --- what a pass through each head puts out, by the checkpoint's module paths -----------------------------------------


def _ctc_stages(y: np.ndarray, cache: Any) -> Iterator[StageRow]:
    yield "lm_head", y, cache


def _sequence_stages(y: np.ndarray, cache: SequenceCache) -> Iterator[StageRow]:
    yield "projector", cache.projected, cache.projector
    yield "classifier", y, cache.classifier


def _frame_stages(y: np.ndarray, cache: Any) -> Iterator[StageRow]:
    yield "classifier", y, cache


def _xvector_stages(y: np.ndarray, cache: XVectorCache) -> Iterator[StageRow]:
    inner = cache.embedding
    yield "projector", inner.projected, inner.projector
    for i, (output, layer) in enumerate(zip(inner.outputs, inner.tdnn)):
        yield f"tdnn.{i}", output, layer
    yield "feature_extractor", inner.vector, inner.linear
    yield "classifier", y, cache.classifier


def _xvector(x: np.ndarray, params: dict, config: Any) -> tuple[np.ndarray, XVectorCache]:
    return xvector_head(x, params, config.tdnn_kernel, config.tdnn_dilation)


NO_HEAD = Head(None, (), lambda x, p, c: (x, None), lambda dy, cache: (dy, {}), lambda y, cache: iter(()))
HEADS = (
    Head("xvector", ("tdnn",), _xvector, xvector_head_backward, _xvector_stages, "embed(…), from Python"),
    Head("sequence classification", ("projector", "classifier"), lambda x, p, c: sequence_head(x, p),
         sequence_head_backward, _sequence_stages, "classify(…), or xlsr-ref classify"),
    Head("frame classification", ("classifier",), lambda x, p, c: frame_head(x, p),
         frame_head_backward, _frame_stages, "frame_labels(…), from Python"),
    Head("ctc", ("lm_head",), lambda x, p, c: ctc_head(x, p),
         ctc_head_backward, _ctc_stages, "transcribe(…), or xlsr-ref transcribe"),
)  # fmt: skip
