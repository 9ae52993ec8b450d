"""A kit for those who write the network in another language: a tiny model, the numbers of every stage, and a check.

    write(folder)              the model, its inputs, and what each stage gives in float64 (kit.py)
    check(folder, outputs)     the first stage that departs, and the known mistake that gives those numbers (compare.py)

network.py has the stages in plain NumPy, in one file, and slips.py the mistakes, as changes of its text.
"""

from __future__ import annotations

from xlsr_ref.teach.conformance.compare import Report, check
from xlsr_ref.teach.conformance.kit import write

__all__ = ["Report", "check", "write"]
