"""Recipes from TOML files and from the command line."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from crowdmood.core.errors import SettingsError
from training.recipe import SHIPPED, Augmentation, Recipe, as_toml, load_recipe

ROOT = Path(__file__).parents[3]
ALL = """
data = "faces.npz"
learning_rate = 0.02
small_until = [0.1, 0.3]
teacher = "models/old"

[augmentation]
flip = 0.4

[[start_from]]
path = "runs/a/best.npz"
weight = 0.35
heads = { fer = 0.2 }

[[start_from]]
path = "runs/b/best.npz"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.toml"
    file.write_text(text)
    return file


def test_file_changes_only_the_fields_that_it_names(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, ALL))

    assert recipe.data == Path("faces.npz")
    assert (recipe.learning_rate, recipe.small_until) == (0.02, (0.1, 0.3))
    assert recipe.teacher == (Path("models/old"),)
    assert recipe.augmentation == Augmentation(flip=0.4)
    assert [(network.path.parts[1], network.weight, network.heads) for network in recipe.start_from] == [
        ("a", 0.35, {"fer": 0.2}),
        ("b", 1.0, {}),
    ]
    assert recipe.batch_size == Recipe().batch_size


def test_set_overrides_the_file_and_options_override_both(tmp_path: Path) -> None:
    assignments = [
        "learning_rate=0.5",
        "optimizer=adam",
        "augmentation.flip = 0.1",
        "small_until=[0, 0.2]",
        "data=other.npz",
        "teacher=['a', 'b']",
        "start_from=models/old",
    ]
    recipe = load_recipe(write(tmp_path, ALL), assignments, data=Path("third.npz"), teacher=None, crowds=())

    assert (recipe.learning_rate, recipe.optimizer, recipe.small_until) == (0.5, "adam", (0, 0.2))
    assert recipe.augmentation.flip == 0.1
    assert recipe.data == Path("third.npz")
    assert recipe.teacher == (Path("a"), Path("b"))
    assert [network.path for network in recipe.start_from] == [Path("models/old")]


def test_empty_value_restores_the_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "minutes = 5\n"), ["minutes=", "seed="])
    assert recipe == Recipe()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("lerning_rate=1", "lerning_rate is no field of a recipe; did you mean learning_rate?"),
        ("flip=0.3", "flip is no field of a recipe; did you mean augmentation.flip?"),
        ("xyz=1", "xyz is no field of a recipe; --print-recipe shows the fields"),
        ("start_from=[{path='a', wight=2}]", "start_from.0.wight is no field of a recipe"),
        ("start_from=[{path='a', heads={nose=1}}]", "start_from.0.heads.nose"),
        ("start_from=[{path='a', weight=0}]", "every weight in start_from is 0"),
        ("learning_rate=-1", "learning_rate: Input should be greater than or equal to 0 (got -1)"),
        ("learning_rate=nan", "learning_rate: Input should be a finite number"),
        ("epochs=many", "epochs: Input should be a valid integer"),
        ("small_until=[0.4, 0.2]", "small_until must not fall"),
        ("small_until=[0.4, 2]", "small_until.1: Input should be less than or equal to 1"),
        ("seed.x=1", "seed: Input should be a valid integer"),
        ("seed", "--set 'seed': write NAME=VALUE"),
        ("=1", "--set '=1': write NAME=VALUE"),
    ],
)
def test_field_that_cannot_be_used_is_named_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_recipe(None, [assignment])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_field_of_a_value_that_is_no_table_is_refused() -> None:
    with pytest.raises(SettingsError, match="seed is no table"):
        load_recipe(None, ["seed=1", "seed.x=1"])


@pytest.mark.parametrize(("text", "message"), [(None, "No such file"), ("learning_rate = ", "Invalid value")])
def test_file_that_cannot_be_read_is_refused_with_the_shipped_names(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "mine.toml" if text is None else write(tmp_path, text)
    with pytest.raises(
        SettingsError, match=rf"\.toml: cannot be read .*{message}.*give a TOML file, or one of .*crowds"
    ):
        load_recipe(file)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "names no faces: give --data"),
        ({"data": "a", "epochs": 0}, "epochs = 0 exports start_from without training"),
        ({"data": "a", "crowds": "b"}, "crowds needs labelled faces of crowds: .*--crowd-faces"),
        ({"data": "a", "refit_crowd_head": 0.003}, "refit_crowd_head needs labelled faces of crowds"),
    ],
)
def test_missing_input_is_named_with_its_option(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_recipe(None, **fields).check_inputs()


@pytest.mark.parametrize("recipe", [Recipe(), *(load_recipe(file) for file in sorted(SHIPPED.glob("*.toml")))])
def test_printed_recipe_is_the_same_recipe(recipe: Recipe) -> None:
    assert Recipe.model_validate(tomllib.loads(as_toml(recipe))) == recipe


def test_printed_recipe_describes_every_field_with_its_bounds() -> None:
    text = as_toml(Recipe())
    for name in [*Recipe.model_fields, *Augmentation.model_fields]:
        assert f"\n{name} = " in text or f"\n# {name} =\n" in text or f"\n[{name}]\n" in text, name
    assert '`adam` is AdamW. Values: "sgd", "adam".\noptimizer = "sgd"\n' in text
    assert "# Probability of mirroring. Values: 0 or more, at most 1.\nflip = 0.5\n" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_readme_names_every_shipped_recipe_and_its_name_loads_it() -> None:
    readme = (ROOT / "training" / "README.md").read_text()
    files = sorted(SHIPPED.glob("*.toml"))
    assert len(files) >= 3
    for file in files:
        assert f"](recipes/{file.name})" in readme
        assert load_recipe(Path(file.stem)) == load_recipe(file)
