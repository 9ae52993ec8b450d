"""How long does a step of training take, beside torch's? Noise, forward, loss, backward, clipping and Adam; 16 clips.

    python tests/benchmarks/training_step.py --rounds 7
    python tests/benchmarks/training_step.py --rounds 7 --task pretrain

The bundled model in float32, with dropout and masks as in the recipe small-ctc-from-nothing; for pre-training new
weights of small-pretrained, with dropout. Clips of 2 to 4 s of noise with 10 to 30 targets. Ours takes a
list, each clip with its own length; transformers takes one padded batch with an attention mask. Each draws its own
noise, masks and negatives within the time. Not a test: see README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from xlsr_ref.measure.bench import table, turns  # noqa: E402
from xlsr_ref.measure.bench.machine import describe  # noqa: E402

RATE, CLIPS, LEARNING_RATE, CLIP = 16000, 16, 1e-5, 5.0
KINDS = {"finetune": "Wav2Vec2ForCTC", "pretrain": "Wav2Vec2ForPreTraining"}
DROPOUT = dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "final_dropout"), 0.1)
MASKS = {"mask_time_prob": 0.1, "mask_time_length": 6, "mask_feature_prob": 0.05, "mask_feature_length": 8}
Clips = list[tuple[np.ndarray, np.ndarray]]
Step = Callable[[Clips], object]


def make_clips() -> Clips:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2 * RATE, 4 * RATE, CLIPS)
    return [
        (rng.standard_normal(n).astype(np.float32), rng.integers(1, 78, int(rng.integers(10, 31)))) for n in lengths
    ]


def make_folder(task: str, folder: Path) -> None:
    """What both begin with, as a model folder."""
    from xlsr_ref.checkpoint.safetensors_file import write_arrays
    from xlsr_ref.training.recipe import from_table, read_recipe
    from xlsr_ref.training.start import start_of

    data = {"manifests": ["none.tsv"]}
    if task == "finetune":
        noise = {**DROPOUT, **MASKS, "layerdrop": 0.0}
        model: dict[str, Any] = {"start": "small-ctc", "head": "keep", "config": noise}
    else:
        model = {
            "config": read_recipe(ROOT / "xlsr_ref" / "data" / "recipes" / "small-pretrained.toml").model.config
            | DROPOUT
        }
    recipe = from_table({"model": model, "data": data})
    start = start_of(recipe, KINDS[task], [], Path(), bundled=ROOT / "xlsr_ref" / "data")
    write_arrays(folder / "model.safetensors", start.params)
    for name, text in start.files.items():
        (folder / name).write_text(text, "utf-8")


def ours(task: str, folder: Path, threads: int) -> Step:
    os.environ["XLSR_REF_THREADS"] = str(threads)
    from xlsr_ref.ops import adam as optim
    from xlsr_ref.ops.memory import keep_freed_memory
    from xlsr_ref.ops.threads import one_blas_thread
    from xlsr_ref.ops.tree import nest
    from xlsr_ref.training.recipe import TrainingStage, from_table
    from xlsr_ref.training.start import start_of
    from xlsr_ref.training.step import Batch, finetune_step, pretrain_step

    keep_freed_memory()
    recipe = from_table({"model": {"start": str(folder), "head": "keep"}, "data": {"manifests": ["none.tsv"]}})
    start = start_of(recipe, KINDS[task], [], Path())
    take = finetune_step if task == "finetune" else pretrain_step
    nested, state, adam, done = nest(start.params), optim.AdamState(), optim.Adam(weight_decay=0.01), 0

    def step(clips: Clips) -> None:
        nonlocal done
        done += 1
        batch = Batch([x for x, _ in clips], [targets for _, targets in clips], done, TrainingStage())
        with one_blas_thread():
            _, grads = take(nested, start.config, recipe, start.preprocessor, batch)
            optim.clip(grads, optim.global_norm(grads), CLIP)
            optim.step(start.params, grads, state, dict.fromkeys(grads, LEARNING_RATE), adam)

    return step


def theirs(task: str, folder: Path, threads: int) -> Step:
    import torch
    import transformers
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    torch.set_num_threads(threads)
    model = getattr(transformers, KINDS[task]).from_pretrained(folder, dtype=torch.float32).train()
    config = model.config
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)

    def loss_of(x: Any, mask: Any, labels: Any) -> Any:
        if task == "finetune":
            return model(x, attention_mask=mask, labels=labels).loss
        frames = model._get_feat_extract_output_lengths(x.shape[1]).item()
        shape, within = (len(x), frames), model._get_feature_vector_attention_mask(frames, mask)
        spans = _compute_mask_indices(shape, config.mask_time_prob, config.mask_time_length, within, min_masks=2)
        negatives = _sample_negative_indices(shape, config.num_negatives, spans)
        drawn = {"mask_time_indices": torch.tensor(spans), "sampled_negative_indices": torch.tensor(negatives)}
        return model(x, attention_mask=mask, **drawn).loss / spans.sum()

    def step(clips: Clips) -> None:
        longest, most = (max(len(pair[i]) for pair in clips) for i in (0, 1))
        x, mask = torch.zeros(len(clips), longest), torch.zeros(len(clips), longest, dtype=torch.long)
        labels = torch.full((len(clips), most), -100)
        for i, (waveform, targets) in enumerate(clips):
            x[i, : len(waveform)] = torch.from_numpy((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7))
            mask[i, : len(waveform)] = 1
            labels[i, : len(targets)] = torch.from_numpy(targets)
        optimizer.zero_grad()
        loss_of(x, mask, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()

    return step


PROGRAMS = {"xlsr_ref": ours, "torch": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", choices=KINDS, default="finetune")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for both (default: %(default)s)")
    parser.add_argument("--worker", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    clips = make_clips()
    if args.worker:
        turns.serve(lambda: job(PROGRAMS[args.worker](args.task, args.folder, args.threads), clips))
        return
    about = describe(["numpy", "numba", "torch", "transformers"])
    print("\n".join(table.machine(about, args.threads)), flush=True)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        make_folder(args.task, Path(folder))
        how = ["--task", args.task, "--threads", str(args.threads), "--folder", folder]
        workers = {name: stack.enter_context(turns.Worker([__file__, "--worker", name, *how])) for name in PROGRAMS}
        answers = turns.take_turns(workers, "step", args.rounds)
    audio = sum(len(x) for x, _ in clips) / RATE
    print(f"\na step of {args.task}: {CLIPS} clips, {audio:.1f} s of audio, {args.rounds} rounds\n")
    seconds = {name: [answer["seconds"] for answer in found[1:]] for name, found in answers.items()}
    print("\n".join(table.programs(seconds, audio)))


def job(step: Step, clips: Clips) -> turns.Job:
    return lambda line: {"seconds": turns.timed(lambda: step(clips))[0][0]}


if __name__ == "__main__":
    main()
