"""Who may do what: API keys with roles, compared in constant time, kept as digests and never logged."""

import hashlib
import hmac
import logging
from collections.abc import Collection

from starlette.types import Scope

from app.problems import FieldError, Problem
from app.settings import ApiKey, Role

READERS: frozenset[Role] = frozenset(("client", "read-only", "operator"))  # what a front end may ask
WRITERS: frozenset[Role] = frozenset(("client", "operator"))  # what a front end may tell
LOOKERS: frozenset[Role] = frozenset(("read-only", "operator"))  # what a dashboard may see
OPERATORS: frozenset[Role] = frozenset(("operator",))
SHORT = 16

logger = logging.getLogger("polyrank.auth")


class Keys:
    """The known keys; without any, everyone is an operator (loopback only: see Settings.check_exposure)."""

    def __init__(self, keys: Collection[ApiKey]) -> None:
        self._known = [(_digest(one.key.get_secret_value().encode()), one.role) for one in keys]
        for one in keys:
            if len(one.key.get_secret_value()) < SHORT:
                logger.warning("a %s key has fewer than %d characters; give a longer, random one", one.role, SHORT)

    def role_of(self, key: bytes) -> Role | None:
        """The role of a key, None for an unknown one; every known key is compared, whichever matches."""
        digest, role = _digest(key), None
        for known, its_role in self._known:
            if hmac.compare_digest(digest, known):
                role = its_role
        return role

    def check(self, scope: Scope, roles: Collection[Role]) -> None:
        """Raise Problem 401 without a valid key, 403 when its role may not do this."""
        if not self._known:
            return
        key = _sent(scope)
        role = None if key is None else self.role_of(key)
        if role is None:
            raise _unauthorized("missing" if key is None else "unknown")
        if role not in roles:
            raise _forbidden(role, roles)


def _digest(key: bytes) -> bytes:
    """Equal lengths, so that comparing tells nothing of a key's length."""
    return hashlib.sha256(key).digest()


def _sent(scope: Scope) -> bytes | None:
    """The key of X-API-Key, or of a bearer token: what scrapers can send."""
    bearer = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return bytes(value)
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = bytes(value[7:])
    return bearer


def _unauthorized(found: str) -> Problem:
    error = FieldError("X-API-Key", None, "a key of this service", f"the key is {found}; send the header X-API-Key")
    headers = {"WWW-Authenticate": 'ApiKey header="X-API-Key"'}
    return Problem(401, "unauthorized", f"X-API-Key: found a key that is {found}; send a known one", [error], headers)


def _forbidden(role: Role, roles: Collection[Role]) -> Problem:
    allowed = " or ".join(sorted(roles))
    error = FieldError("X-API-Key", f"a {role} key", f"a key of role {allowed}", f"role {role} may not do this")
    return Problem(403, "forbidden", f"X-API-Key: found a key of role {role}; this needs {allowed}", [error])
