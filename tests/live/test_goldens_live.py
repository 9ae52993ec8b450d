"""The recordings in tests/golden are what the recording script writes: nothing in them was made in another way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import xlsr_ref  # noqa: E402
from weights_tools import record_goldens  # noqa: E402
from xlsr_ref.checkpoint.compare import assert_same  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DATA = Path(xlsr_ref.__file__).parent / "data"
SAME = 1e-12  # float64 sums, in whatever order this machine adds them


@pytest.fixture(autouse=True)
def torch_threads_as_they_were():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All that is float64 truth; float32 errors are a matter of the machine."""
    with np.load(path) as arrays:
        return {name: array for name, array in arrays.items() if not name.startswith("float32_error ")}


@pytest.mark.parametrize("name", record_goldens.MODELS)
def test_small_models(name: str, tmp_path: Path) -> None:
    assert record_goldens.main(["--only", name, "--target", str(tmp_path)]) == 0
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / name / file).read_bytes() == (GOLDEN / name / file).read_bytes()
    ours, recorded = arrays_of(tmp_path / name / "stages.npz"), arrays_of(GOLDEN / name / "stages.npz")
    assert list(ours) == list(recorded)
    assert_same(ours, recorded, SAME, f"{name}, recorded anew")


def test_the_bundled_model(tmp_path: Path) -> None:
    assert record_goldens.main(["--bundled", "--target", str(tmp_path), "--data", str(DATA)]) == 0
    ours, recorded = (json.loads((folder / "bundled.json").read_text("utf-8")) for folder in (tmp_path, GOLDEN))
    assert ours == recorded
    assert_same(arrays_of(tmp_path / "bundled.npz"), arrays_of(GOLDEN / "bundled.npz"), SAME, "bundled, recorded anew")


def test_other_versions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(record_goldens.NEEDED, "torch", "1.0")
    assert record_goldens.main(["--only", "bare", "--target", str(tmp_path)]) == 1
    assert "1.0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert record_goldens.main(["--only", "bare", "--target", str(tmp_path), "--any-version"]) == 0
