"""Every error Polyrank raises on purpose: it names the thing, the value found, and the next move."""


class PolyrankError(Exception):
    """Base of all deliberate errors; `str(error)` is one line a person can act on."""

    def __init__(self, thing: str, found: object, move: str) -> None:
        self.thing, self.found, self.move = thing, found, move
        super().__init__(f"{thing}: found {shorten(found)}; {move}")


class RecipeError(PolyrankError):
    """dataset.toml says something that cannot be carried out."""


class DataError(PolyrankError):
    """A table does not hold what its recipe declares."""


class TrainingError(PolyrankError):
    """Learning went wrong in a way that a longer run would not mend (degenerate loss, one class)."""


class BundleError(PolyrankError):
    """A bundle does not verify: a file is missing, altered or of another schema."""


class GateError(PolyrankError):
    """An index or an export misses its gate, so the bundle is not sealed."""


class RequestError(PolyrankError):
    """A request names something that does not exist or lies outside its range; answered as 422."""


class StateError(PolyrankError):
    """The state store is away or full; answered as 503 with Retry-After."""


def shorten(value: object, limit: int = 120) -> str:
    """The `repr` of a value, cut so that an error line stays readable."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
