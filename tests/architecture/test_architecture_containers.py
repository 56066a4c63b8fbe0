"""Dockerfile, compose file and gateway as far as they can be judged without an engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import settings
from tests.architecture import tree

TARGETS = {"train", "serve", "serve-gpu"}
COMPOSE: dict[str, Any] = yaml.safe_load(tree.text(Path("docker-compose.yml")))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = re.sub(r"^#.*\n", "", tree.text(Path("Dockerfile")), flags=re.MULTILINE).replace("\\\n", " ")


def _stages() -> dict[str, tuple[str, str]]:
    """Base and instructions of each stage by name."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {name: (base, body) for base, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


def _lineage(name: str) -> str:
    """Instructions of a stage after those of the stages it starts from."""
    base, body = _stages()[name]
    return (_lineage(base) if base in _stages() else "") + body


def test_the_dockerfile_has_the_three_targets() -> None:
    assert set(_stages()) >= TARGETS


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_images_run_as_a_user_of_their_own_and_build_nothing(target: str) -> None:
    body = _lineage(target)
    assert re.findall(r"^USER (\S+)", body, re.MULTILINE)[-1] == "polyrank"
    assert not re.search(r"apt-get|pip|gcc|build-essential", body)
    assert f"COPY --from=build-{target} /opt/venv /opt/venv" in body


@pytest.mark.parametrize("target", ["serve", "serve-gpu"])
def test_serving_images_say_when_they_are_well(target: str) -> None:
    body = _lineage(target)
    assert "/healthz" in re.findall(r"^HEALTHCHECK .*$", body, re.MULTILINE)[-1]
    assert "EXPOSE 8000" in body
    assert "POLYRANK_HOST=0.0.0.0" in body


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_each_target_installs_its_own_extra_within_the_constraints(target: str) -> None:
    body = _lineage(f"build-{target}")
    assert re.findall(r"\.\[([\w-]+)\]", body) == [target]
    assert "--no-cache-dir --constraint constraints/all.txt" in body


def test_images_set_only_settings_that_exist() -> None:
    known = {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}
    given = {name for service in SERVICES.values() for name in service.get("environment", {})} | set(
        re.findall(rf"{settings.PREFIX}[A-Z_]+(?==)", DOCKERFILE)
    )
    assert {name for name in given if name.startswith(settings.PREFIX)} <= known


def test_what_goes_into_an_image_is_what_the_dockerfile_copies() -> None:
    ignore = tree.text(Path(".dockerignore")).splitlines()
    copied = {
        name.partition("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in line.split()
    }
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_compose_has_the_trainer_two_replicas_their_store_and_one_port() -> None:
    assert set(SERVICES) == {"valkey", "trainer", "service", "gateway"}
    assert SERVICES["service"]["deploy"]["replicas"] == 2
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]


def test_compose_refuses_to_start_without_api_keys() -> None:
    keys = SERVICES["service"]["environment"]["POLYRANK_API_KEYS"]
    assert re.fullmatch(r"\$\{POLYRANK_API_KEYS:\?.*role:key.*\}", keys)


def test_compose_builds_or_pins_every_image() -> None:
    for name, service in SERVICES.items():
        repository, _, tag = service["image"].partition(":")
        assert tag not in {"", "latest"}, name
        assert ("build" in service) == (repository == "polyrank"), name
        assert service.get("build", {}).get("target", tag) == tag, name
        assert "build" in service or re.match(r"\d+\.\d+\.\d+", tag), name


def test_what_runs_on_is_watched_and_started_again() -> None:
    for name in set(SERVICES) - {"trainer"}:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD", name
        assert SERVICES[name]["restart"] == "unless-stopped", name
    assert SERVICES["trainer"]["restart"] == "no"


def test_the_service_waits_for_its_store_and_its_bundle() -> None:
    waits = {name: one["condition"] for name, one in SERVICES["service"]["depends_on"].items()}
    assert waits == {"valkey": "service_healthy", "trainer": "service_completed_successfully"}


def test_the_store_keeps_what_it_accepted() -> None:
    command = SERVICES["valkey"]["command"]
    given = dict(zip(command[1::2], command[2::2], strict=True))
    assert (given["--appendonly"], given["--maxmemory-policy"]) == ("yes", "noeviction")
    assert SERVICES["valkey"]["volumes"] == ["state:/data"]


def test_every_container_is_read_only_without_privileges() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_every_volume_is_declared_and_used() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())]
    named = {mount for mount in mounts if not mount.startswith(".")}
    assert named == set(COMPOSE["volumes"])
    assert all((tree.ROOT / mount).exists() for mount in mounts if mount.startswith("."))


def test_replicas_see_the_bundles_where_the_trainer_seals_them() -> None:
    places = [
        mount.split(":")[1]
        for name in ("trainer", "service")
        for mount in SERVICES[name]["volumes"]
        if mount.startswith("bundles:")
    ]
    assert places == ["/var/lib/polyrank/bundles"] * 2
    assert "POLYRANK_BUNDLES=/var/lib/polyrank/bundles" in DOCKERFILE


def test_the_gateway_finds_the_service_by_its_compose_name_and_port() -> None:
    config = tree.text(Path("deploy/haproxy.cfg"))
    assert re.search(r"server-template \w+ \d+ service:8000 ", config)
    assert SERVICES["gateway"]["ports"][0].endswith(":8000")
    assert "bind :8000" in config


def test_the_image_health_check_is_python_that_parses() -> None:
    line = re.findall(r'CMD \["python", "-c", (".*")\]', _lineage("serve"))[-1]
    code = yaml.safe_load(line)
    done = subprocess.run(
        [sys.executable, "-c", code], env={"POLYRANK_PORT": "9"}, capture_output=True, text=True, check=False
    )
    assert "URLError" in done.stderr, "nothing listens on port 9, and that is what it must say"
