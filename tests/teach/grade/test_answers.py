"""A submission that takes the answer from the library is refused, however it reaches for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np

from xlsr_ref.ops.norm import layer_norm
from xlsr_ref.teach.grade import exercise, grade, sandbox

HONEST = """
import numpy as np
from xlsr_ref.ops.linear import linear  # another function of the library may be used
from xlsr_ref.teach.grade import grade

def layer_norm(x, p, eps):
    linear(x, {"weight": np.eye(x.shape[1], dtype=x.dtype), "bias": 0 * p["bias"]})
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * p["weight"] + p["bias"]

grade("layer_norm", layer_norm)
"""

TAKEN = {
    "imported": "from xlsr_ref.ops.norm import layer_norm; layer_norm(1, 2, 3)",
    "by importlib and getattr": (
        "import importlib; getattr(importlib.import_module('xlsr_' + 'ref.ops.norm'), 'layer' + '_norm')(1, 2, 3)"
    ),
    "and caught": (
        "try:\n    from xlsr_ref.ops import norm\n    norm.layer_norm(1, 2, 3)\nexcept BaseException:\n    pass"
    ),
    "from a module that has it": "import xlsr_ref.wav2vec2.block as b; b.layer_norm(1, 2, 3)",
    "the backward pass of the same file": "import xlsr_ref.ops.norm as n; n.layer_norm_backward(1, 2)",
    "by the network": "import xlsr_ref.wav2vec2.feature_encoder as f; f.layer_norm(1, 2, 3)",
    "by reloading": "import importlib, xlsr_ref.ops.norm as n; importlib.reload(n)",
    "by its source": "import xlsr_ref.ops.norm as n\nfrom pathlib import Path\nexec(Path(n.__file__).read_text())",
    "by its source as bytes": "import xlsr_ref.ops.norm as n, os\nopen(os.fsencode(n.__file__), 'rb').read()",
    "by inspect": "import inspect, xlsr_ref.ops.norm as n\ninspect.getsource(n)",
    "from the exercise": "from xlsr_ref.teach.grade import exercise; exercise('layer_norm').function()",
    "from the list of exercises": "from xlsr_ref.teach.grade import catalogue; catalogue.all_exercises()",
    "from the exercise's file": "from xlsr_ref.teach.grade.topics.norm import layer_norm; layer_norm(1, 2, 3)",
    "from the exercise's source": "import inspect, xlsr_ref.teach.grade.topics.norm as t\nexec(inspect.getsource(t))",
}

SCRIPT = """
import contextlib, json, sys
from xlsr_ref.teach.grade import answers
from xlsr_ref.teach.grade.catalogue import find
import xlsr_ref.wav2vec2.block, xlsr_ref.wav2vec2.feature_encoder
answers.begin(find("layer_norm"))
reached = {}
for way, text in json.load(sys.stdin).items():
    with contextlib.suppress(BaseException):
        exec(text, {})
    reached[way] = answers.used()
    answers._reached.clear()
print(json.dumps(reached))
"""


def _graded(text):
    return sandbox.run("layer_norm", text, None, seed=1, seconds=60)


def test_what_is_the_students_own_passes():
    verdict = _graded(HONEST)
    assert verdict.passed, verdict


def test_every_way_to_the_answer_is_noticed():
    command = [sys.executable, "-c", SCRIPT]
    environment = os.environ | {"XLSR_REF_BACKEND": "numpy"}
    done = subprocess.run(command, input=json.dumps(TAKEN), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {way for way, what in json.loads(done.stdout).items() if not what} == set()


def test_a_submission_that_takes_it_is_refused():
    """Also where it catches what is raised and returns something else."""
    text = (
        "import xlsr_ref.ops.norm as n\ndef layer_norm(x, p, eps):\n    try:\n        return n.layer_norm(x, p, eps)\n"
    )
    verdict = _graded(text + "    except BaseException:\n        return x\n")
    ((row, holds, what),) = verdict.properties
    assert (row, holds) == ("own work", False)
    assert what == "uses the library's own layer_norm: write the function yourself"
    assert verdict.points(10) == 0


def test_the_function_itself_is_refused_and_here_it_still_works():
    verdict = grade("layer_norm", layer_norm, seed=1)
    assert "uses the library's own layer_norm" in str(verdict)
    assert layer_norm(np.eye(3), {"weight": np.ones(3), "bias": np.ones(3)}, 1e-5)[0].shape == (3, 3)
    assert exercise("layer_norm").function()
