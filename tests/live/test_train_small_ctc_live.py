"""The recipe's model can be made, regularised and trained for a step."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from weights_tools.train_small_ctc import DROPOUT, new_model, regularise  # noqa: E402


def test_a_new_model_learns_with_and_without_masking():
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "|": 2, "a": 3}
    model = new_model(vocabulary).train()
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32))
    labels = torch.tensor([[3, 2, 3]])
    with torch.no_grad():
        plain = [model(x, labels=labels).loss.item() for _ in range(2)]
    assert plain[0] == plain[1]  # nothing is dropped or masked
    regularise(model)
    assert all(module.p == DROPOUT for module in model.modules() if isinstance(module, torch.nn.Dropout))
    losses = [model(x, labels=labels).loss for _ in range(2)]
    assert losses[0].item() != losses[1].item() != plain[0]
    losses[0].backward()
    assert model.wav2vec2.masked_spec_embed.grad.abs().max() > 0  # some frames were masked
