"""Who may do what."""

import logging
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from app.auth import Keys
from app.routes import OPERATIONS
from app.settings import Settings, SettingsError
from tests.serving import KEYS, serving

SENT = dict(one.split(":") for one in KEYS.split(","))
OPEN = {"/healthz", "/readyz"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[TestClient]:
    with serving(api_keys=KEYS) as client:
        yield client


def test_every_operation_asks_for_a_key_but_the_probes() -> None:
    assert {one.path for one in OPERATIONS if one.roles is None} == OPEN
    with serving(api_keys=KEYS) as client:
        for one in OPERATIONS:
            answer = client.request(one.method, one.path.replace("{", "x").replace("}", ""))
            expected = 200 if one.path in OPEN else 401
            assert answer.status_code == expected, one.path
        assert answer.headers["www-authenticate"] == 'ApiKey header="X-API-Key"'
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("role", "method", "path", "allowed"),
    [
        ("client", "POST", "/recommend", True),
        ("client", "POST", "/feedback", True),
        ("client", "GET", "/items/i1/similar", True),
        ("client", "GET", "/items/i1", True),
        ("client", "PUT", "/items/i1", False),
        ("client", "GET", "/users/u1/export", False),
        ("client", "GET", "/metrics", False),
        ("client", "GET", "/bundles", False),
        ("read-only", "POST", "/recommend", True),
        ("read-only", "POST", "/feedback", False),
        ("read-only", "GET", "/metrics", True),
        ("read-only", "GET", "/bundles", True),
        ("read-only", "DELETE", "/users/u1", False),
        ("operator", "POST", "/feedback", True),
        ("operator", "DELETE", "/users/u1", True),
        ("operator", "GET", "/bundles", True),
    ],
)
def test_a_role_may_do_its_own(guarded: TestClient, role: str, method: str, path: str, allowed: bool) -> None:
    answer = guarded.request(method, path, headers={"X-API-Key": SENT[role]})
    assert (answer.status_code != 403) is allowed
    assert allowed or role in answer.json()["detail"]


def test_a_key_may_come_as_a_bearer_token_and_a_wrong_one_is_unknown() -> None:
    with serving(api_keys=KEYS) as client:
        for headers, status in (
            ({"Authorization": f"Bearer {SENT['read-only']}"}, 200),
            ({"Authorization": SENT["read-only"]}, 401),
            ({"X-API-Key": SENT["read-only"] + "x"}, 401),
            ({"X-API-Key": ""}, 401),
            ({"X-API-Key": "wrong", "Authorization": f"Bearer {SENT['read-only']}"}, 401),
        ):
            answer = client.get("/metrics", headers=headers)
            assert answer.status_code == status
            assert "wrong" not in answer.text


def test_keys_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings.checked({"api_keys": KEYS + ",client:short"})
    settings.log()
    Keys(settings.api_keys)
    assert "a client key has fewer than 16 characters" in caplog.text
    assert "POLYRANK_API_KEYS=client:…,operator:…,read-only:…,client:…" in caplog.text
    for secret in [*SENT.values(), "short"]:
        assert secret not in caplog.text + repr(settings)


def test_without_keys_only_loopback_is_listened_on() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        Settings.checked({"host": host}).check_exposure()
    for host in ("0.0.0.0", "::", "10.0.0.1", "polyrank.example"):
        with pytest.raises(
            SettingsError, match=r"POLYRANK_HOST without POLYRANK_API_KEYS: found .*set POLYRANK_API_KEYS"
        ):
            Settings.checked({"host": host}).check_exposure()
        Settings.checked({"host": host, "api_keys": KEYS}).check_exposure()
