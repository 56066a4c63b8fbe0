"""`--set training.epochs=3`: single keys of a recipe, as the command line gives them."""

import tomllib
from collections.abc import Iterable

from pydantic import JsonValue

from model.errors import RecipeError


def parse_changes(settings: Iterable[str]) -> dict[str, JsonValue]:
    """Dotted keys and their values (TOML or a bare word) from `key=value` texts; raises RecipeError without `=`."""
    return dict(_change(setting) for setting in settings)


def _change(setting: str) -> tuple[str, JsonValue]:
    key, equals, value = setting.partition("=")
    if not key.strip() or not equals:
        raise RecipeError("--set", setting, "write KEY=VALUE, such as training.epochs=3")
    try:
        parsed: JsonValue = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return key.strip(), parsed
