"""The recipe's scenes: rules over the items and over the context they suit."""

from model.config import Recipe
from model.features.rules import Rule, parse_rule


def scene_rules(recipe: Recipe) -> dict[str, tuple[Rule, Rule | None]]:
    """Each scene's parsed (items, when) rules; raises RecipeError for an unknown attribute or context column."""
    items = recipe.items
    attributes = ("item_id", *(items.attributes + items.text if items else ()))
    found: dict[str, tuple[Rule, Rule | None]] = {}
    for name, scene in recipe.scenes.items():
        rule, when = parse_rule(scene.items, f"scene {name}: items"), None
        rule.check(attributes, f"scene {name}: items")
        if scene.when is not None:
            when = parse_rule(scene.when, f"scene {name}: when")
            when.check(recipe.context_names, f"scene {name}: when")
        found[name] = (rule, when)
    return found
