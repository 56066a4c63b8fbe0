"""What is known of an item or a user in the caller's own words, before it becomes vectors and ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from model.features.spec import Values


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item as it was told: text by field and attributes by name; what is left out is unknown."""

    text: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Values] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The record as JSON bytes."""
        return orjson.dumps({"text": dict(self.text), "attributes": dict(self.attributes)})

    @classmethod
    def of_json(cls, data: bytes) -> "ItemRecord":
        """The record that `to_json` wrote."""
        return cls(**orjson.loads(data))


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as told: the profile by attribute name."""

    profile: Mapping[str, Values] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The record as JSON bytes."""
        return orjson.dumps({"profile": dict(self.profile)})

    @classmethod
    def of_json(cls, data: bytes) -> "UserRecord":
        """The record that `to_json` wrote."""
        return cls(**orjson.loads(data))
