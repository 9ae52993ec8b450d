"""Damaged checkpoints: each either reads, or is refused with one line; no traceback, no hang, no crash, no huge memory.

Runs in a process of its own with a limit on its memory, because a crash would take the test runner with it.
A longer campaign: ``python tests/checkpoint/test_readers_fuzz.py 10000 [first case]``; it prints each case that went
wrong, and how many were read and refused. A case depends on its number alone.
"""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"
SEEDS = {  # reader → a file that it reads
    "torch": GOLDEN / "foreign/odd/odd.bin",
    "torch before 1.6": GOLDEN / "foreign/odd/odd_old.bin",
    "torch, whole model": GOLDEN / "foreign/torch/pytorch_model.bin",
    "fairseq": GOLDEN / "foreign/fairseq_ctc/checkpoint.pt",
    "fairseq, old": GOLDEN / "foreign/fairseq_pretrained/checkpoint.pt",
    "flax": GOLDEN / "foreign/flax/flax_model.msgpack",
    "safetensors": GOLDEN / "bare/model.safetensors",
}
SIZES = [
    bytes(4),
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\1\0\0\0",
    b"\xff" * 8,
    bytes(8),
    b"\0\0\0\0\1\0\0\0",
]
OPCODES = b"(.012FGIJKLMNPQRSTUVXabcdeghijlopqrstu}]B)C" + bytes([0x80, 0x81, *range(0x85, 0x96)])
SECONDS, MEMORY = 60, 3 * 2**30  # no case takes two seconds, or 200 MB; one that takes this hangs, or is a bomb


def structure(path: Path) -> np.ndarray:
    """Where the file's bytes are no tensor's numbers: headers, pickles, directories."""
    from xlsr_ref.checkpoint.read import read_file

    free = np.ones(path.stat().st_size, bool)
    for tensor in read_file(path).tensors.values():
        free[tensor.offset : tensor.offset + tensor.extent * (tensor.nbytes // max(tensor.size, 1))] = False
    return np.flatnonzero(free)


def mutate(data: bytes, places: np.ndarray, others: list[bytes], draw: np.random.Generator) -> bytes:
    """``data`` with one to four changes, half of them where its structure is."""
    changed = bytearray(data)
    for _ in range(int(draw.choice([1, 1, 1, 2, 3, 4]))):
        anywhere = draw.random() < 0.5
        at = int(draw.integers(len(changed))) if anywhere else int(draw.choice(places)) % max(len(changed), 1)
        how = draw.integers(9)
        if how == 0:
            changed[at] ^= 1 << int(draw.integers(8))
        elif how == 1:
            changed[at] = int(draw.integers(256))
        elif how == 2:
            changed[at] = OPCODES[int(draw.integers(len(OPCODES)))]
        elif how in (3, 4):
            size = SIZES[int(draw.integers(len(SIZES)))]
            changed[at : at + len(size)] = size  # numbers that lie
        elif how == 5:
            del changed[at : at + int(draw.integers(1, 40))]
        elif how == 6:
            changed[at:at] = bytes(draw.integers(0, 256, int(draw.integers(1, 20)), np.uint8))
        elif how == 7:
            other = others[int(draw.integers(len(others)))]
            begin = int(draw.integers(len(other)))
            piece = other[begin : begin + int(draw.integers(1, 60))]
            changed[at : at + len(piece)] = piece
        elif draw.random() < 0.3:
            del changed[at:]
        if not changed:
            return b""
    return bytes(changed)


def rewrite(data: bytes, others: list[bytes], draw: np.random.Generator) -> bytes:
    """A zip file whose pickle is damaged, and whose directory is right: what comes after the directory's checks."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(written, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = mutate(content, np.arange(len(content)), others, draw)
            new.writestr(entry.filename, content)
    return written.getvalue()


def one(reader: str, path: Path) -> str:
    """Read a file to the end and look at what it says: "read", or the message of the refusal."""
    from xlsr_ref.checkpoint.convert import convert
    from xlsr_ref.checkpoint.inspect import report
    from xlsr_ref.checkpoint.open import open_weights, understand
    from xlsr_ref.checkpoint.read import read_file
    from xlsr_ref.checkpoint.tensors import arrays
    from xlsr_ref.errors import WeightsError

    try:
        found = read_file(path)
        for array in arrays(found.tensors).values():
            array.sum() if array.dtype.kind in "fiub" else None
        if "odd" not in SEEDS[reader].name:
            weights = open_weights(path)
            list(report(weights))
            understand(weights)
            convert(path, path.with_name("converted"), dtype="float16")
        return "read"
    except WeightsError as error:
        message = str(error)
        if "\n" in message or not message or len(message) > 5000:
            raise AssertionError(f"not one short line: {message[:300]!r}") from None
        return message


def _watch(seconds: float) -> None:
    """End the process with a traceback after so much time of the processor: it may be stopped or slowed by others."""
    if hasattr(signal, "setitimer"):
        faulthandler.register(signal.SIGPROF, chain=True)
        signal.setitimer(signal.ITIMER_PROF, seconds)


def campaign(first: int, cases: int) -> int:
    """Run the cases and print what went wrong; how many did."""
    import shutil
    import traceback
    import warnings

    warnings.simplefilter("ignore")  # an overflow while summing damaged numbers
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    files = {reader: path.read_bytes() for reader, path in SEEDS.items()}
    places = {reader: structure(path) for reader, path in SEEDS.items()}
    counts: Counter[str] = Counter()
    slowest, wrong = 0.0, 0
    with tempfile.TemporaryDirectory() as made:
        for case in range(first, first + cases):
            draw = np.random.default_rng(case)
            reader = list(SEEDS)[case % len(SEEDS)]
            path, config = Path(made) / f"x{SEEDS[reader].suffix}", SEEDS[reader].with_name("config.json")
            if config.exists():
                shutil.copy(config, made)
            others = list(files.values())
            if files[reader][:2] == b"PK" and draw.random() < 0.5:
                path.write_bytes(rewrite(files[reader], others, draw))
            else:
                path.write_bytes(mutate(files[reader], places[reader], others, draw))
            _watch(SECONDS)
            began = time.process_time()
            try:
                outcome = one(reader, path)
                counts[f"{reader}: {'read' if outcome == 'read' else 'refused'}"] += 1
            except BaseException:
                wrong += 1
                print(f"case {case} ({reader}):\n{traceback.format_exc()}", flush=True)
            slowest = max(slowest, time.process_time() - began)
            _watch(0)
            shutil.rmtree(Path(made) / "converted", ignore_errors=True)
            (Path(made) / "config.json").unlink(missing_ok=True)
            left = [p.name for p in Path(made).iterdir() if p != path]
            if left:
                wrong += 1
                print(f"case {case} ({reader}) left {left}", flush=True)
                for name in left:
                    shutil.rmtree(Path(made) / name, ignore_errors=True)
            path.unlink()
    print(
        f"{cases} cases from {first}: {dict(sorted(counts.items()))}, {wrong} wrong, slowest {slowest:.2f} s",
        flush=True,
    )
    return wrong


def test_damaged_checkpoints_are_read_or_refused():
    cases = int(os.environ.get("XLSR_REF_FUZZ", "240"))
    command = [sys.executable, __file__, str(cases)]
    here = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, env=os.environ | here)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "0 wrong" in done.stdout
    for reader in SEEDS:
        assert f"{reader}: refused" in done.stdout  # the damage reaches each of them


def test_a_case_depends_on_its_number_alone():
    data, places = bytes(range(256)), np.arange(256)
    a, b, c = (mutate(data, places, [data], np.random.default_rng(n)) for n in (1, 1, 2))
    assert a == b != c
    assert a != data


if __name__ == "__main__":
    sys.exit(min(1, campaign(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1]))))
