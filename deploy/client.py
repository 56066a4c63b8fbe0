"""The demo's view of the service: JSON over HTTP with the standard library, titles looked up once, tables in text."""

import json
from collections.abc import Collection, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeAlias
from urllib.parse import quote

Json: TypeAlias = dict[str, Any]
WIDEST = 44


class DemoError(Exception):
    """Something that the demo shows does not hold."""


def expect(holds: bool, otherwise: str) -> None:
    """Raise DemoError with the words of `otherwise` unless it holds."""
    if not holds:
        raise DemoError(otherwise)


class Client:
    """The service at one address; a connection a request, so that a pause of any length is no matter."""

    def __init__(self, host: str, port: int) -> None:
        self.address = f"http://{host}:{port}"
        self._place = (host, port)
        self._titles: dict[str, str] = {}

    def get(self, path: str) -> Json:
        """The JSON at a path; DemoError unless the status is 2xx."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Json | None = None, allow: Collection[int] = ()) -> Json:
        """The JSON answer to a request; DemoError unless the status is 2xx or one of `allow`."""
        status, content = self._exchange(method, path, body)
        expect(status < 300 or status in allow, f"{method} {path}: status {status}, {content.decode(errors='replace')}")
        answer: Json = json.loads(content or b"{}")
        return answer

    def is_up(self, path: str) -> bool:
        """Does the path answer with 200?"""
        try:
            return self._exchange("GET", path, None)[0] == 200
        except DemoError:
            return False

    def _exchange(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        sent = None if body is None else json.dumps(body).encode()
        connection = HTTPConnection(*self._place, timeout=30)
        try:
            connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            raise DemoError(f"{method} {path}: no answer ({error})") from error
        finally:
            connection.close()

    def title(self, item: str) -> str:
        """Title of an item, looked up once."""
        if item not in self._titles:
            self._titles[item] = self.get(f"/items/{quote(item, safe='')}")["text"].get("title", item)
        return self._titles[item]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows below their heads; numbers to the right, texts cut to WIDEST."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *cells]) for column in range(len(head))]
    numeric = [isinstance(value, float) for value in rows[0]]
    for line in [list(head), *cells]:
        pairs = zip(line, widths, numeric, strict=True)
        print(
            "  " + "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in pairs).rstrip()
        )


def _cell(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
