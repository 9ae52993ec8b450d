"""Recipes: the committed ones can be read; whatever cannot be meant is refused by its key."""

import pytest

from xlsr_ref.errors import TrainingError
from xlsr_ref.training.recipe import Recipe, difference, from_table, read_recipe
from xlsr_ref.training.shipped import FOLDER as RECIPES

LEAST = {"data": {"manifests": ["a.tsv"]}}


def table(**parts):
    return {**LEAST, **parts, "data": LEAST["data"] | parts.get("data", {})}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.name)
def test_every_committed_recipe_can_be_read(path):
    recipe = read_recipe(path)
    assert recipe.data.manifests or path.stem == "adapters"  # which takes any corpus as it is
    assert path.read_text("utf-8").startswith("# ")  # says what it is for


def test_what_is_left_out_has_its_default():
    assert from_table(LEAST) == Recipe(data=from_table(LEAST).data)


def test_values_arrive():
    read = from_table(
        table(
            seed=3,
            schedule={"name": "linear", "peak": 1},
            model={"config": {"hidden_size": 8, "conv_dim": [1, 2]}},
            augment={"speeds": [0.9, 1]},
            stages=[{"first_step": 1, "noise": False}, {"first_step": 5, "learn": "head"}],
        )
    )
    assert (read.seed, read.schedule.name, read.schedule.peak) == (3, "linear", 1.0)
    assert type(read.schedule.peak) is float
    assert read.model.config == {"hidden_size": 8, "conv_dim": [1, 2]}
    assert read.augment.speeds == (0.9, 1.0)
    assert [read.stage(step).noise for step in (1, 4, 5, 99)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"run": {"step": 5}}, "there is no key run.step: the nearest is run.steps"),
        ({"shedule": {}}, "there is no key shedule: the nearest is schedule"),
        ({"steps": 5}, "there is no key steps: the nearest is run.steps"),
        ({"batch_seconds": 5.0}, "there is no key batch_seconds: the nearest is data.batch_seconds"),
        ({"stages": [{"first": 1}]}, r"there is no key stages\[0\].first: the nearest is stages\[0\].first_step"),
        ({"model": {"config": {"hiden_size": 8}}}, "key model.config.hiden_size: the nearest is model.config.hidden_"),
        ({"run": {"steps": "5"}}, "run.steps must be a whole number, found '5'"),
        ({"run": {"steps": True}}, "run.steps must be a whole number, found True"),
        ({"run": {"steps": 5.0}}, "run.steps must be a whole number, found 5.0"),
        ({"run": {"steps": 0}}, "run.steps must be at least 1, found 0"),
        ({"run": 5}, "run must be a table, found 5"),
        ({"seed": -1}, "seed must be at least 0, found -1"),
        ({"schedule": {"peak": float("nan")}}, "schedule.peak must be a number, found nan"),
        ({"schedule": {"peak": float("inf")}}, "schedule.peak must be finite, found inf"),
        ({"data": {"alpha": float("inf")}}, "data.alpha must be finite, found inf"),
        ({"data": {"longest": float("-inf")}}, "data.longest must be finite, found -inf"),
        ({"augment": {"noise": [float("-inf"), 5.0]}}, r"augment.noise\[0\] must be finite, found -inf"),
        ({"augment": {"silence": float("inf")}}, "augment.silence must be finite, found inf"),
        ({"pretrain": {"tau_start": float("inf")}}, "pretrain.tau_start must be finite, found inf"),
        ({"pretrain": {"tau_decay": 1.5}}, "pretrain.tau_decay must be above 0 and at most 1, found 1.5"),
        ({"schedule": {"peak": "fast"}}, "schedule.peak must be a number, found 'fast'"),
        ({"schedule": {"name": "cosine"}}, "schedule.name must be 'linear' or 'tri-stage', found 'cosine'"),
        ({"schedule": {"warmup": 0.7, "hold": 0.4}}, "shares of all steps: together at most 1"),
        ({"schedule": {"warmup": 8}}, "schedule.warmup must be from 0 to 1, found 8"),
        ({"optimizer": {"betas": [0.9]}}, r"optimizer.betas must be two numbers from 0 to below 1, found \[0.9\]"),
        ({"optimizer": {"clip": 0}}, "optimizer.clip must be above 0, found 0"),
        ({"augment": {"noise": [40, 15]}}, "augment.noise must be two numbers of dB, the smaller first, found"),
        ({"augment": {"speeds": [0]}}, "augment.speeds must be numbers from 0.1 to 10, found"),
        ({"augment": {"speeds": 1}}, "augment.speeds must be a list, found 1"),
        ({"text": {"case": "small"}}, "text.case must be 'keep' or 'lower' or 'upper', found 'small'"),
        ({"data": {"manifests": [1]}}, r"data.manifests\[0\] must be a text, found 1"),
        ({"data": {"manifests": ["a.tsv"], "repeat": {"b.tsv": 2}}}, "data.repeat names 'b.tsv': name lists of"),
        ({"data": {"manifests": ["a.tsv"], "repeat": {"a.tsv": 0}}}, "data.repeat must be whole numbers from 1, found"),
        ({"data": {"manifests": ["a.tsv"], "repeat": {"a.tsv": 1.5}}}, "data.repeat must be whole numbers from 1"),
        ({"stages": [{"first_step": 2}]}, r"first_step must be 1 and then grow, found \[2\]"),
        ({"stages": [{"first_step": 1}, {"first_step": 1}]}, "must be 1 and then grow"),
        ({"stages": []}, "must be 1 and then grow"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(parts, says):
    with pytest.raises(TrainingError, match=says) as caught:
        from_table(table(**parts))
    assert "\n" not in str(caught.value)


def test_no_limit_is_inf():
    read = from_table(
        table(data={"longest": float("inf"), "batch_seconds": float("inf")}, optimizer={"clip": float("inf")})
    )
    assert read.data.longest == read.data.batch_seconds == read.optimizer.clip == float("inf")


def test_a_file_that_is_no_recipe(tmp_path):
    for name, content in (("a.toml", b"x = ["), ("b.toml", b"\xff\xfe"), ("c.toml", b"x = 1\n")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=r"a\.toml is not TOML: "):
        read_recipe(tmp_path / "a.toml")
    with pytest.raises(TrainingError, match=r"b\.toml is not UTF-8 text: "):
        read_recipe(tmp_path / "b.toml")
    with pytest.raises(TrainingError, match=r"c\.toml: there is no key x"):
        read_recipe(tmp_path / "c.toml")
    with pytest.raises(TrainingError, match="is missing: give a recipe, a TOML file"):
        read_recipe(tmp_path / "d.toml")
    with pytest.raises(TrainingError, match="give a recipe, a TOML file"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ({}, {}, None),
        ({"run": {"steps": 5}}, {"run": {"steps": 6}}, "run.steps was 5 and is 6"),
        ({"seed": 1}, {}, "seed was 1 and is 0"),
        ({"model": {"config": {"hidden_size": 8}}}, {"model": {"config": {"hidden_size": 9}}},
         "model.config.hidden_size was 8 and is 9"),
        ({"model": {"config": {"hidden_size": 8}}}, {}, "model.config.hidden_size was 8 and is not there"),
        ({}, {"model": {"config": {"conv_bias": True}}}, "model.config.conv_bias was not there and is true"),
        ({"stages": [{"longest": 3}]}, {"stages": [{"longest": 4}]}, "stages.0.longest was 3.0 and is 4.0"),
        ({"stages": [{}]}, {"stages": [{}, {"first_step": 2}]}, "stages was 1 tables and is 2 tables"),
        ({"data": {"manifests": ["a.tsv"]}}, {"data": {"manifests": ["b.tsv"]}},
         'data.manifests was ["a.tsv"] and is ["b.tsv"]'),
    ],
)  # fmt: skip
def test_two_recipes_differ_in_a_key(one, other, says):
    assert difference(from_table(table(**one)), from_table(table(**other))) == says
