"""The tables a recipe declares: where they are, and which column plays which role."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]


class Section(BaseModel):
    """Base of every table of dataset.toml: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileTable(Section):
    """A Parquet, CSV or TSV file (also .gz).

    `path` is relative to `--data DIR`, else to the recipe's `data`, else to the recipe's folder; `${VARIABLE}` is read
    from the environment. `separator` is guessed from the suffix; `columns` names those of a file without a header line;
    `quotes = false` reads quotation marks as text.
    """

    path: Name
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    columns: tuple[Name, ...] = ()
    quotes: bool = True
    encoding: Name = "utf-8"


class EventColumn(Section):
    """Event types read from a column; `map` renames its values, `unmapped` says what becomes of all others.

    Without a map every value is an event type of its own. "impression": the row is labelled but is no event, so that it
    never enters a history.
    """

    column: Name
    map: dict[str, Name] = Field(default_factory=dict)
    unmapped: Literal["refuse", "drop", "impression"] = "refuse"


def _name_or_table(value: object) -> str:
    return "<name>" if isinstance(value, str) else "<table>"


EventRole: TypeAlias = Annotated[
    Annotated[Name, Tag("<name>")] | Annotated[EventColumn, Tag("<table>")], Discriminator(_name_or_table)
]


class ContextColumn(Section):
    """A context column under a name of its own; `match` makes values from substrings, the first that occurs wins.

    Without `match` the column's values are kept; `default` stands for values that no substring matches.
    """

    name: Name
    column: Name
    match: tuple[tuple[str, Name], ...] = ()
    default: Name | None = None


class Interactions(FileTable):
    """Who did what with which item, when. Without `event` the rows are labelled pairs (impressions) and no events."""

    user: Name
    item: Name
    event: EventRole | None = None
    value: Name | None = None
    timestamp: Name | None = None
    order: Name | None = None
    context: tuple[ContextColumn, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short_context(cls, data: object) -> object:
        """A bare name in `context` is a column of that name."""
        if isinstance(data, dict) and isinstance(data.get("context"), list | tuple):
            columns = [{"name": one, "column": one} if isinstance(one, str) else one for one in data["context"]]
            return data | {"context": columns}
        return data

    @property
    def event_types(self) -> tuple[str, ...]:
        """The event types this table declares, in order; empty when its column's values are the types."""
        if isinstance(self.event, str):
            return (self.event,)
        return tuple(dict.fromkeys(self.event.map.values())) if self.event else ()


class Entities(FileTable):
    """Items or users: an id, texts and attributes. Multi-valued columns name their separator ("" for list columns)."""

    id: Name
    text: tuple[Name, ...] = ()
    categorical: tuple[Name, ...] = ()
    numeric: tuple[Name, ...] = ()
    multi: dict[Name, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _roles(self) -> "Entities":
        names = [*self.categorical, *self.numeric, *self.multi]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"give each attribute one of categorical, numeric and multi; {twice} have more")
        return self

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attributes: multi-valued, categorical, numeric."""
        return (*self.multi, *self.categorical, *self.numeric)


class Items(Entities):
    """The catalogue. `unknown` says what becomes of events of items that are not in it."""

    unknown: Literal["drop", "add"] = "drop"


class Users(Entities):
    """What is known of users; users without a row simply have no profile."""


class IdMapTable(FileTable):
    """A table that translates ids: `source` column → `target` column; ids it does not hold are left out."""

    source: Name
    target: Name


class EntityLink(FileTable):
    """Which item is which entity of the graph; `map` first translates the table's item ids into the catalogue's."""

    item: Name = "item_id"
    entity: Name = "entity_id"
    map: IdMapTable | None = None


class Graph(FileTable):
    """Triples head, relation, tail; without `link` an item is the entity that has the item's id."""

    head: Name = "head"
    relation: Name = "relation"
    tail: Name = "tail"
    link: EntityLink | None = None


class Links(FileTable):
    """User–user links (friends, followers); `split` names a column that says train, valid or test.

    `event` is the type of the feedback by which somebody makes such a link at run time.
    """

    event: Name = "link"
    source: Name = "source"
    target: Name = "target"
    mutual: bool = True
    split: Name | None = None


class Scene(Section):
    """What a page may show: a rule over item attributes, and the rule over the context that it suits (null: any)."""

    items: Name
    when: Name | None = None


class Split(Section):
    """How the log is cut: `time` by fractions of rows, `leave_last` two events a user, `column` as a column says.

    Rows with neither time nor order stand before all others, by lot: of them leave_last leaves any two.

    A table without the column is cut by time, where the column's parts end in the other tables. Where the column leaves
    valid empty, `valid_when` (an expression) says which training rows validate, else it is the last `valid` of them by
    time (untimed: each user's last).
    """

    kind: Literal["time", "leave_last", "column"] = "time"
    train: float = Field(default=0.8, gt=0, lt=1)
    valid: float = Field(default=0.1, gt=0, lt=1)
    column: Name = "split"
    valid_when: Name | None = None

    @model_validator(mode="after")
    def _fractions(self) -> "Split":
        if self.train + self.valid >= 1:
            raise ValueError("train + valid must leave a part for test, so keep their sum below 1")
        if self.valid_when is not None and self.kind != "column":
            raise ValueError(f"valid_when belongs to kind = 'column'; {self.kind} finds the valid part by itself")
        return self
