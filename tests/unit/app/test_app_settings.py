"""Settings: from the environment, whole or refused by name."""

import logging
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, is_loopback


def test_nothing_set_is_the_documented_default() -> None:
    found = Settings.from_env({})
    assert (found.host, found.port, found.workers, found.redis_url, found.api_keys) == ("127.0.0.1", 8000, 1, None, ())
    assert found.bundles == Path("bundles")


def test_the_environment_is_read_and_the_command_line_wins() -> None:
    env = {"POLYRANK_PORT": "9000", "POLYRANK_WORKERS": "3", "POLYRANK_HOST": "", "PATH": "/bin"}
    found = Settings.from_env(env, port=9001, workers=None)
    assert (found.port, found.workers, found.host) == (9001, 3, "127.0.0.1")


def test_settings_survive_the_way_to_a_worker() -> None:
    env = {
        "POLYRANK_REDIS_URL": "redis://:secret@r/0",
        "POLYRANK_API_KEYS": "client:aaaaaaaaaaaaaaaa, operator:b:c",
        "POLYRANK_BUNDLE": "x/y",
        "POLYRANK_READ_TIMEOUT_S": "1.5",
        "POLYRANK_ACCESS_LOG": "true",
    }
    found = Settings.from_env(env)
    assert Settings.from_env(found.to_env()) == found
    assert [(one.role, one.key.get_secret_value()) for one in found.api_keys][1] == ("operator", "b:c")


def test_what_clusters_and_links_put_into_the_environment_is_left_alone() -> None:
    env = {
        "POLYRANK_PORT": "tcp://10.0.0.1:8000",
        "POLYRANK_SERVICE_HOST": "10.0.0.1",
        "POLYRANK_SERVICE_PORT": "8000",
        "POLYRANK_SERVICE_PORT_HTTP": "8000",
        "POLYRANK_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "POLYRANK_PORT_8000_TCP_ADDR": "10.0.0.1",
        "POLYRANK_VALKEY_SERVICE_HOST": "10.0.0.2",
        "POLYRANK_VALKEY_PORT": "tcp://10.0.0.2:6379",
        "POLYRANK_DATA_DIR": "/data",
        "POLYRANK_QUALITY_DIR": "/quality",
    }
    assert Settings.from_env(env) == Settings()  # type: ignore[call-arg] # pydantic gives the defaults


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "API_KEY",
            "x",
            r"POLYRANK_API_KEY: found 'an unknown setting'; the known ones are POLYRANK_HOST, POLYRANK_PORT",
        ),
        ("PORT", "99999", "POLYRANK_PORT: found '99999'; Input should be less than or equal to 65535"),
        ("WORKERS", "many", "POLYRANK_WORKERS: found 'many'; Input should be a valid integer"),
        ("DEVICE", "tpu", "POLYRANK_DEVICE: found 'tpu'; Input should be 'auto', 'cpu' or 'cuda'"),
        ("LOG_LEVEL", "loud", "POLYRANK_LOG_LEVEL: found 'loud'"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.from_env({f"POLYRANK_{name}": value})


@pytest.mark.parametrize(
    "keys", ["sesame-sesame", "admin:sesame-sesame", "client:", "client:sesame sesame", "client:sés"]
)
def test_keys_are_refused_without_being_shown(keys: str) -> None:
    with pytest.raises(SettingsError, match="POLYRANK_API_KEYS: found 'a value that is not shown'; ") as caught:
        Settings.from_env({"POLYRANK_API_KEYS": keys})
    assert "ses" not in str(caught.value)


def test_every_setting_is_logged_with_where_it_came_from(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Settings.from_env({"POLYRANK_PORT": "9000", "POLYRANK_REDIS_URL": "redis://:secret@r"}).log()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(Settings.model_fields)
    assert "POLYRANK_PORT=9000 (set)" in lines
    assert "POLYRANK_WORKERS=1 (default)" in lines
    assert "POLYRANK_REDIS_URL=… (set)" in lines
    assert "secret" not in caplog.text


def test_loopback_is_this_machine_only() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "")))


def test_the_documents_name_every_setting_and_its_default() -> None:
    text = Path("docs/operations.md").read_text()
    for name in Settings.model_fields:
        assert f"| `POLYRANK_{name.upper()}` |" in text
