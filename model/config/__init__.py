"""dataset.toml as frozen, cross-checked records."""

from model.config.changes import parse_changes
from model.config.recipe import Recipe, expand, recipe_file
from model.config.serving import Serving
from model.config.tables import (
    ContextColumn,
    Entities,
    EntityLink,
    EventColumn,
    FileTable,
    Graph,
    IdMapTable,
    Interactions,
    Items,
    Links,
    Scene,
    Split,
    Users,
)
from model.config.tasks import Task
from model.config.training import CHANNELS, PROFILES, Channel, Training

__all__ = [
    "CHANNELS",
    "PROFILES",
    "Channel",
    "ContextColumn",
    "Entities",
    "EntityLink",
    "EventColumn",
    "FileTable",
    "Graph",
    "IdMapTable",
    "Interactions",
    "Items",
    "Links",
    "Recipe",
    "Scene",
    "Serving",
    "Split",
    "Task",
    "Training",
    "Users",
    "expand",
    "parse_changes",
    "recipe_file",
]
