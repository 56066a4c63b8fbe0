"""The recipe: one dataset.toml, read, checked and frozen."""

import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, JsonValue, PrivateAttr, model_validator

from model.config.checks import cross_check
from model.config.problems import explain
from model.config.serving import Serving
from model.config.tables import Graph, Interactions, Items, Links, Name, Scene, Section, Split, Users
from model.config.tasks import Task
from model.config.training import Training
from model.errors import DataError, RecipeError

VARIABLE = re.compile(r"\$\{(\w+)\}")
log = logging.getLogger(__name__)


class Recipe(Section):
    """Everything a domain declares: tables and roles, tasks, scenes, split, training, serving.

    `data` is the folder of the tables when no `--data DIR` is given (relative to the recipe's file).
    """

    name: Name
    data: Name | None = None
    interactions: tuple[Interactions, ...] = Field(min_length=1)
    items: Items | None = None
    users: Users | None = None
    graph: Graph | None = None
    links: Links | None = None
    scenes: dict[Name, Scene] = Field(default_factory=dict)
    split: Split = Split()
    tasks: tuple[Task, ...] = Field(min_length=1)
    training: Training = Training()
    serving: Serving = Serving()

    _file: Path | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _one_or_more(cls, data: object) -> object:
        """`[interactions]` and `[[interactions]]` are both right."""
        if isinstance(data, dict) and isinstance(data.get("interactions"), dict):
            return data | {"interactions": [data["interactions"]]}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        cross_check(self)
        return self

    @classmethod
    def load(cls, path: Path | str) -> "Recipe":
        """Read a dataset.toml (or the folder that holds it); raises RecipeError with file, key, value and next move."""
        file = recipe_file(path)
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecipeError("recipe", str(path), "give the path of a dataset.toml or of its folder") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise RecipeError(str(file), str(error), "write it as UTF-8 TOML") from None
        return cls.parse(data, file)

    @classmethod
    def parse(cls, data: Mapping[str, object], file: Path | None = None) -> "Recipe":
        """A recipe from parsed TOML, as the bundle's manifest keeps it; raises RecipeError."""
        with explain(cls, str(file or "recipe")):
            recipe = cls.model_validate(data)
        recipe._file = file
        log.info("recipe %s: defaults %s", recipe.name, recipe.training.model_dump(exclude_unset=False))
        return recipe

    def to_dict(self) -> dict[str, JsonValue]:
        """The recipe as plain JSON data, for the manifest; `Recipe.parse` reads it back."""
        return self.model_dump(mode="json", exclude_unset=True)

    def under(self, profile: str | None = None, changes: Mapping[str, JsonValue] | None = None) -> "Recipe":
        """This recipe under a training profile, then with single keys set (`training.epochs`, `serving.candidates`).

        Raises RecipeError for an unknown profile, table, key or value.
        """
        with explain(type(self), str(self._file or self.name)):
            training = self.training if profile is None else self.training.profile(profile)
        made = self.model_copy(update={"training": training})
        return made.changed(changes or {})

    def changed(self, changes: Mapping[str, JsonValue]) -> "Recipe":
        """This recipe with dotted keys set to other values, checked again; raises RecipeError."""
        data = self.to_dict()
        for key, value in changes.items():
            _set(data, key, value)
        return Recipe.parse(data, self._file)

    @property
    def folder(self) -> Path:
        """The folder of the recipe's file; the working directory for a recipe that has none."""
        return self._file.parent if self._file else Path()

    def resolve(self, path: str, data_dir: Path | str | None = None) -> Path:
        """The file a declared path means: in `data_dir`, else in the recipe's `data`, else beside the recipe.

        Raises RecipeError for an unset variable and DataError when none of the places has the file.
        """
        wanted = Path(expand(path))
        homes = [Path(data_dir)] if data_dir is not None else [self.folder / expand(self.data)] if self.data else []
        places = [home / wanted for home in [*homes, self.folder]]
        for place in places:
            if place.is_file():
                return place
        tried = ", ".join(dict.fromkeys(str(place) for place in places))
        raise DataError("table", path, f"no such file at {tried}; give its folder with --data DIR")

    @property
    def pair_tasks(self) -> tuple[Task, ...]:
        """The pair tasks, in the order of the ranker's output."""
        return tuple(task for task in self.tasks if task.is_pair)

    @property
    def side_tasks(self) -> tuple[Task, ...]:
        """The side tasks, in order."""
        return tuple(task for task in self.tasks if not task.is_pair)

    @property
    def context_names(self) -> tuple[str, ...]:
        """Names of the context columns over all interaction tables, in order of first mention."""
        return tuple(dict.fromkeys(column.name for table in self.interactions for column in table.context))


def recipe_file(path: Path | str) -> Path:
    """The dataset.toml that a path means: itself, or the one in that folder."""
    file = Path(path)
    return file / "dataset.toml" if file.is_dir() else file


def expand(path: str) -> str:
    """A path with `${VARIABLE}` read from the environment; raises RecipeError when it is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise RecipeError(f"variable {match[1]}", path, f"set the environment variable {match[1]} to a folder")
        return os.environ[match[1]]

    return VARIABLE.sub(value, path)


def _set(data: dict[str, JsonValue], key: str, value: JsonValue) -> None:
    """Put a value at a dotted key, making the tables on the way; raises RecipeError where the way is no table."""
    *tables, last = key.split(".")
    here = data
    for name in tables:
        inner = here.setdefault(name, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"key {key}", inner, f"{name} is no table; set it by itself")
        here = inner
    here[last] = value
