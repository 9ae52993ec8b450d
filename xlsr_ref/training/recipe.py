"""A recipe: everything that decides what a run learns, in one TOML file. The same recipe gives the same weights.

    seed = 0
    [model]          start from new weights or a folder; its config
    [data]           manifests, splits, how clips become batches
    [text]           how texts are prepared: Unicode form, case, punctuation, numerals
    [augment]        how the sound is varied
    [optimizer]      Adam's settings and clipping
    [schedule]       the learning rate
    [[stages]]       what changes on the way: which clips, what learns, whether there is dropout and masking
    [run]            steps, and how often to report, evaluate and save
    [pretrain]       temperature, L2 feature penalty, scale of the feature encoder's gradient; pre-training only

What is left out has the default that stands here. A key that does not exist is refused, with the nearest one that does.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xlsr_ref.errors import TrainingError
from xlsr_ref.model.finetune import Learn
from xlsr_ref.model.networks import NETWORKS
from xlsr_ref.text.preparation import Preparation
from xlsr_ref.training.augment import Augmentation
from xlsr_ref.untrusted import read_toml, shown


@dataclass(frozen=True)
class ModelPart:
    start: str = "new"  # new: random weights; or the folder of a model, from the recipe's folder
    head: Literal["new", "keep"] = "new"  # fine-tuning: a new lm_head for the letters of the texts, or the folder's
    language: str = ""  # of a model with attention adapters (MMS): the code that adapter and vocabulary are saved by
    config: dict[str, Any] = field(default_factory=dict)  # what config.json is to say differently


@dataclass(frozen=True)
class DataPart:
    manifests: tuple[str, ...] = ()  # lists or folders of any layout in the corpus folder; none: the corpus itself
    tiers: tuple[str, ...] = ()  # of TextGrids and .eaf: those with what is said
    train: str = "train"  # the split that is learnt from
    dev: str = "dev"  # the split that chooses the best checkpoint; "" for none
    unheard: tuple[str, ...] = ()  # lists of speakers who are not learnt from: their dev split is checked as well
    languages: tuple[str, ...] = ()  # clips of these alone; () for all
    shortest: float = 0.1  # seconds; shorter and longer clips are left out
    longest: float = 20.0
    batch_seconds: float = 20.0  # of sound in one step, at most
    alpha: float = 1.0  # languages are drawn by (share of the clips) ** alpha
    repeat: dict[str, int] = field(default_factory=dict)  # a list of manifests counts so many times; others once


@dataclass(frozen=True)
class OptimizerPart:
    name: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, ...] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01
    clip: float = 5.0  # the largest global norm of the gradient
    head_rate: float = 1.0  # the head's learning rate, in that of the others


@dataclass(frozen=True)
class SchedulePart:
    name: Literal["linear", "tri-stage"] = "tri-stage"
    peak: float = 1e-3
    warmup: float = 0.1  # share of all steps
    hold: float = 0.4  # tri-stage only


@dataclass(frozen=True)
class TrainingStage:
    first_step: int = 1
    longest: float = 1e9  # seconds: a model that starts from nothing learns from single words first
    learn: Learn = "all"
    noise: bool = True  # dropout and masks
    augment: bool = True


@dataclass(frozen=True)
class RunPart:
    steps: int = 1000
    stop: int = 0  # end after this step already, at the learning rate that it has of all steps; 0: after the last
    report_every: int = 20
    evaluate_every: int = 500
    save_every: int = 500
    patience: int = 0  # so many checks on the dev split in a row without a lower error end the run; 0: it goes on
    average: int = 1  # the model is the mean of so many last checkpoints, if that is better on the dev split
    tensorboard: bool = False  # write event files, too; the package tensorboard does that
    bad_steps: int = 10  # so many steps without a usable gradient, one after the other, end the run

    @property
    def last(self) -> int:
        """The step that the run ends with."""
        return min(self.stop or self.steps, self.steps)


@dataclass(frozen=True)
class PretrainPart:
    tau_start: float = 2.0  # the quantizer's temperature falls from here …
    tau_decay: float = 0.999995  # … by this factor with every step …
    tau_floor: float = 0.5  # … to here
    feature_penalty: float = 0.0
    encoder_gradient_scale: float = 1.0


@dataclass(frozen=True)
class Recipe:
    seed: int = 0
    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    text: Preparation = field(default_factory=Preparation)
    augment: Augmentation = field(default_factory=Augmentation)
    optimizer: OptimizerPart = field(default_factory=OptimizerPart)
    schedule: SchedulePart = field(default_factory=SchedulePart)
    stages: tuple[TrainingStage, ...] = (TrainingStage(),)
    run: RunPart = field(default_factory=RunPart)
    pretrain: PretrainPart = field(default_factory=PretrainPart)

    def stage(self, step: int) -> TrainingStage:
        """The stage that ``step``, counted from 1, belongs to."""
        return [stage for stage in self.stages if stage.first_step <= step][-1]


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a TOML file. Raises TrainingError, naming the key, for whatever it cannot mean."""
    table = read_toml(path, lambda problem: TrainingError(f"{problem}: give a recipe, a TOML file"))
    try:
        return from_table(table)
    except TrainingError as error:
        raise TrainingError(f"{shown(path)}: {error}") from None


def from_table(table: dict[str, Any]) -> Recipe:
    """The recipe that a TOML table says. Raises TrainingError."""
    recipe = _read(Recipe, table, "")
    known = ["model_type", *(one.name for network in NETWORKS for one in dataclasses.fields(network.Config))]
    for key in recipe.model.config:
        if key not in known:
            raise TrainingError(_no_such(f"model.config.{key}", [f"model.config.{name}" for name in known]))
    firsts = [stage.first_step for stage in recipe.stages]
    if firsts[:1] != [1] or sorted(set(firsts)) != firsts:
        raise TrainingError(f"stages: their first_step must be 1 and then grow, found {firsts}")
    for name in recipe.data.repeat:
        if name not in recipe.data.manifests:
            raise TrainingError(f"data.repeat names {name!r}: name lists of data.manifests alone")
    for name, accepted, is_right in RANGES:
        value: Any = recipe
        for part in name.split("."):
            value = getattr(value, part)
        if not is_right(value):
            raise TrainingError(f"{name} must be {accepted}, found {list(value) if type(value) is tuple else value}")
    if recipe.schedule.name == "tri-stage" and recipe.schedule.warmup + recipe.schedule.hold > 1:
        raise TrainingError("schedule.warmup and schedule.hold are shares of all steps: together at most 1")
    return recipe


def _at_least(least: float, *names: str) -> list[tuple[str, str, Callable[[Any], bool]]]:
    return [(name, f"at least {least:g}", lambda v: v >= least) for name in names]


def _above_0(*names: str) -> list[tuple[str, str, Callable[[Any], bool]]]:
    return [(name, "above 0", lambda v: v > 0) for name in names]


def _share(*names: str) -> list[tuple[str, str, Callable[[Any], bool]]]:
    return [(name, "from 0 to 1", lambda v: 0 <= v <= 1) for name in names]


LIMITS = ("longest", "batch_seconds", "clip")  # keys that may be inf: no limit
RANGES = (
    *_at_least(1, *(f"run.{name}" for name in ("steps", "report_every", "evaluate_every", "save_every", "bad_steps"))),
    *_at_least(0, "seed", "data.shortest", "data.alpha", "run.patience", "run.stop"),
    *_at_least(1, "run.average"),
    *_at_least(0, "optimizer.eps", "optimizer.weight_decay", "optimizer.head_rate"),
    *_at_least(0, "schedule.peak", "pretrain.feature_penalty", "pretrain.encoder_gradient_scale"),
    *_above_0("data.longest", "data.batch_seconds", "optimizer.clip"),
    *_above_0("pretrain.tau_start", "pretrain.tau_floor"),
    ("pretrain.tau_decay", "above 0 and at most 1", lambda v: 0 < v <= 1),
    *_share("schedule.warmup", "schedule.hold"),
    ("data.repeat", "whole numbers from 1", lambda v: all(type(n) is int and n >= 1 for n in v.values())),
    ("optimizer.betas", "two numbers from 0 to below 1", lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v)),
)


def difference(a: Any, b: Any, where: str = "") -> str | None:
    """The first key in which two recipes differ, and both values; None if they are equal."""
    if dataclasses.is_dataclass(a):
        pairs = [(one.name, getattr(a, one.name), getattr(b, one.name)) for one in dataclasses.fields(a)]
    elif isinstance(a, dict):
        pairs = [(key, a.get(key), b.get(key)) for key in (*a, *(key for key in b if key not in a))]
    elif isinstance(a, tuple) and len(a) == len(b) and any(map(dataclasses.is_dataclass, a)):
        pairs = [(str(i), one, other) for i, (one, other) in enumerate(zip(a, b))]
    elif a != b:
        return f"{where} was {_written(a)} and is {_written(b)}"
    else:
        return None
    differences = (difference(one, other, f"{where}.{name}" if where else name) for name, one, other in pairs)
    return next(filter(None, differences), None)


def _written(value: Any) -> str:
    """A value as in TOML, nearly."""
    if value is None:
        return "not there"
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return f"{len(value)} tables"
    return json.dumps(value, default=str)


# --- reading strictly ------------------------------------------------------------------------------------------------


def _read(cls: type, table: Any, where: str) -> Any:
    """A dataclass from a table: each key known, each value of its type."""
    if not isinstance(table, dict):
        raise TrainingError(f"{where.rstrip('.') or 'the recipe'} must be a table, found {table!r}")
    types = typing.get_type_hints(cls)
    for key in table:
        if key not in types:
            elsewhere = [name for name in _every_key(Recipe, "") if name.split(".")[-1] == key]
            raise TrainingError(_no_such(f"{where}{key}", elsewhere or [f"{where}{name}" for name in types]))
    return cls(**{key: _value(types[key], value, f"{where}{key}") for key, value in table.items()})


def _every_key(cls: Any, where: str) -> Iterable[str]:
    """The dotted names of all keys of a recipe."""
    for name, kind in typing.get_type_hints(cls).items():
        yield f"{where}{name}"
        inner = [part for part in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(part)]
        for part in inner:
            yield from _every_key(part, f"{where}{name}.")


def _no_such(name: str, known: list[str]) -> str:
    return f"there is no key {name}: the nearest is {difflib.get_close_matches(name, known, 1, 0)[0]}"


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _read(typing.cast(type, kind), value, f"{where}.")
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise TrainingError(f"{where} must be a list, found {value!r}")
        return tuple(_value(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        if value not in inner:
            raise TrainingError(f"{where} must be {' or '.join(map(repr, inner))}, found {value!r}")
        return value
    if kind is float and (type(value) is int or (type(value) is float and not math.isnan(value))):
        if math.isinf(value) and (value < 0 or where.split(".")[-1] not in LIMITS):
            raise TrainingError(f"{where} must be finite, found {value}")
        return float(value)
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(kind, "a table")
    if kind is float or type(value) is not (origin or kind):
        raise TrainingError(f"{where} must be {plain}, found {value!r}")
    return value
