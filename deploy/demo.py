"""`make demo`: Polyrank on this machine, from nothing to answers over HTTP.

Fetch the sample data, learn, seal, serve, and show what comes back: known users, an unknown one, an anonymous session,
a feedback event that changes the next list, and a new item that is known by its text alone. Whatever does not hold ends
it with exit status 1. The service then stays up until Ctrl-C; with DEMO_EXIT=1 it ends here. It knows Polyrank only
from outside: the `polyrank` command and its HTTP surface.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, this folder's neighbour is deploy.client

from deploy.client import Client, DemoError, Json, expect, table  # noqa: E402

RECIPE, DATA, BUNDLES = Path("recipes/movies"), Path("data/movielens-100k"), Path("bundles")
LEARNS = (RECIPE, DATA, Path("model"), Path("index"))  # a bundle is made anew when any of it changes
POLYRANK = str(Path(sys.executable).with_name("polyrank"))
KNOWN_USERS = ("1", "276", "450")
STAR_WARS, EMPIRE, JEDI = "50", "172", "181"
NEW_TITLE = "Star Wars: The Return of the Jedi Knights"
START_S, FRESH_S = 60.0, 1.0


def main() -> int:
    """Run the demo; 0 when everything shown held."""
    started = time.monotonic()
    os.chdir(ROOT)
    try:
        learn()
        with service() as (client, process), visitor(client) as guest:
            show(client, guest)
            say(f"Everything held. From the first command to here: {time.monotonic() - started:.0f} s.")
            stay(client, process)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Print a heading at once, also into a pipe."""
    print(f"\n== {line}", flush=True)


def learn() -> None:
    """Leave the sample data and a sealed bundle of it; what is there already and still fits is kept."""
    say("Data: MovieLens-100K")
    command("data", "movielens-100k")
    note, made_of = BUNDLES / "demo.json", fingerprint(LEARNS)
    if note.is_file() and (BUNDLES / "current" / "SEAL").is_file() and json.loads(note.read_text()) == made_of:
        say("Bundle: kept, since recipe, data and code are the ones that it was made of")
        return
    say("Bundle: learning, exporting, indexing, sealing")
    command("train", str(RECIPE / "dataset.toml"), "--profile", "quick", "--out", str(BUNDLES))
    note.write_text(json.dumps(made_of))


def fingerprint(places: Sequence[Path]) -> str:
    """sha256 over the names and contents of all files below some folders, byte code left out."""
    digest = hashlib.sha256()
    for file in sorted(file for place in places for file in place.rglob("*") if file.is_file()):
        if "__pycache__" not in file.parts:
            digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def command(*arguments: str) -> None:
    """Run a `polyrank` command whose output is shown; raise DemoError when it fails."""
    print("$ polyrank", *arguments, flush=True)
    status = subprocess.run([POLYRANK, *arguments], check=False).returncode
    expect(status == 0, f"polyrank {arguments[0]} ended with status {status}")


@contextmanager
def service() -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """The service as a child with settings of its own, on port 8000 or a free one, ended at the end."""
    say("Service: starting")
    port = free_port()
    settings = {"HOST": "127.0.0.1", "PORT": str(port), "BUNDLES": str(BUNDLES), "STATE_DIR": "var/state"}
    settings["LOG_LEVEL"] = "warning"
    env = {name: value for name, value in os.environ.items() if not name.startswith("POLYRANK_")}
    env |= {f"POLYRANK_{name}": value for name, value in settings.items()}
    # Named, the bundle becomes the active one, also where an earlier demo left another active. A session of its own:
    # Ctrl-C reaches this process alone, which then ends the service in order.
    serve = [POLYRANK, "serve", "--bundle", str(BUNDLES / "current")]
    process = subprocess.Popen(serve, env=env, start_new_session=True)
    try:
        client = Client("127.0.0.1", port)
        ready(client, process)
        yield client, process
    finally:
        end(process)


def free_port(wanted: int = 8000) -> int:
    """`wanted` when nothing listens there, else a port of the system's choice."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")


def ready(client: Client, process: subprocess.Popen[bytes]) -> None:
    """Wait until the service says that it is ready."""
    started = time.monotonic()
    while not client.is_up("/readyz"):
        expect(process.poll() is None, f"the service ended with status {process.returncode}")
        expect(time.monotonic() - started < START_S, f"the service was not ready after {START_S:.0f} s")
        time.sleep(0.05)
    print(f"ready after {time.monotonic() - started:.1f} s at {client.address}", flush=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the service to end, and make it end after a while."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def visitor(client: Client) -> Iterator[str]:
    """A user id and, by the same name, an item id that nobody has used yet; both are gone afterwards."""
    name = f"demo-{time.time_ns():x}"
    try:
        yield name
    finally:
        for path in (f"/items/{name}", f"/users/{name}"):
            client.send("DELETE", path, allow=(404,))


def show(client: Client, guest: str) -> None:
    """Everything the demo shows, in order."""
    for user in KNOWN_USERS:
        profile = client.get(f"/users/{user}")["profile"]
        say(f"Known user {user}: {', '.join(f'{name} {value}' for name, value in sorted(profile.items()))}")
        shown(client, {"user_id": user})
    shelves(client, KNOWN_USERS[0])
    say("Unknown user: an answer, never an error")
    unknown = shown(client, {"user_id": guest})
    say("Anonymous session: two films told with the request, nothing stored")
    session = shown(client, {"history": liked(STAR_WARS, EMPIRE)})
    expect(not {STAR_WARS, EMPIRE} & set(session), "the session's own films were recommended to it")
    expect(session != unknown, "the session's films changed nothing")
    feedback(client, guest, unknown)
    new_item(client, guest)
    gone(client, guest)


def liked(*items: str) -> list[Json]:
    """Events of a session that rates some items with five stars."""
    return [{"item_id": item, "type": "rating", "value": 5} for item in items]


def shown(client: Client, request: Json, n: int = 8) -> list[str]:
    """Ask for a list, print it, and return its item ids."""
    answer = client.send("POST", "/recommend", request | {"n": n})
    items = answer["items"]
    expect(len(items) == n and not answer["degraded"], f"asked for {n} items, got {len(items)}: {answer}")
    print_items(client, items)
    print(f"{answer['took_ms']:.1f} ms, bundle {answer['bundle']}, fallback {answer['fallback']}", flush=True)
    return [one["item_id"] for one in items]


def shelves(client: Client, user: str) -> None:
    """Which scenes suit a weekday's evening, and that one of them shows nothing but its own items."""
    say("Scenes: which shelves suit this user on a Tuesday at eight in the evening")
    request = {"user_id": user, "target": "scene", "context": {"hour": 20, "weekday": 1}}
    found = client.send("POST", "/recommend", request)["scenes"]
    names = [one["scene"] for one in found]
    expect("evening_comedies" in names and "weekend_family" not in names, f"the scenes for that evening are {names}")
    table(["scene", "score", "first"], [[one["scene"], one["score"], title_of_first(client, one)] for one in found])
    alone = client.send("POST", "/recommend", {"user_id": user, "scene": "evening_comedies", "n": 20})["items"]
    kinds = [client.get(f"/items/{one['item_id']}")["attributes"]["genres"] for one in alone]
    expect(len(alone) == 20 and all("Comedy" in one for one in kinds), f"not all are comedies: {kinds}")


def title_of_first(client: Client, scene: Json) -> str:
    """What a scene shows first."""
    return client.title(scene["items"][0]["item_id"])


def print_items(client: Client, items: list[Json]) -> None:
    """A line an item: title, score, each task's probability or value, channels."""
    tasks = list(items[0]["task_scores"])
    rows: list[list[object]] = []
    for one in items:
        numbers = [one["score"], *(one["task_scores"][task] for task in tasks)]
        rows.append([client.title(one["item_id"]), *numbers, " ".join(one["channels"])])
    table(["title", "score", *tasks, "channels"], rows)


def feedback(client: Client, guest: str, before: list[str]) -> None:
    """One event of the unknown user, twice: it counts once, and the next list is another one."""
    say(f"Feedback: the unknown user rates “{client.title(STAR_WARS)}” with five stars")
    event = {"event_id": f"{guest}-1", "user_id": guest, "item_id": STAR_WARS, "type": "rating", "value": 5}
    answers = [client.send("POST", "/feedback", event) for _ in range(2)]
    counts = [(one["accepted"], one["duplicates"]) for one in answers]
    expect(counts == [(1, 0), (0, 1)], f"sent the same event twice, was told {answers}")
    print(f"accepted once, durable: {answers[0]['durability']}. The next list:")
    after = shown(client, {"user_id": guest})
    kept = [item for item in before if item != STAR_WARS]
    expect(STAR_WARS not in after, "the rated film was recommended again")
    expect(after[: len(kept)] != kept, "the event changed nothing beyond the film itself")
    exported = {one["event_id"] for one in client.get(f"/users/{guest}/export")["events"]}
    expect(exported == {event["event_id"]}, f"the export holds {exported}")


def new_item(client: Client, name: str) -> None:
    """An item of which nothing but a title is known turns up, next to its neighbour and in a list."""
    say(f"New item: “{NEW_TITLE}”, known by its title alone")
    started = time.monotonic()
    client.send("PUT", f"/items/{name}", {"text": {"title": NEW_TITLE}})
    near = appears(lambda: client.get(f"/items/{JEDI}/similar?n=20")["items"], name, started)
    print(f"similar to “{client.title(JEDI)}”: number {near + 1} of 20 after {since(started)}")
    request = {"history": liked(STAR_WARS, EMPIRE, JEDI), "n": 200}
    place = appears(lambda: client.send("POST", "/recommend", request)["items"], name, started)
    print(f"recommended to a session of three such films: number {place + 1} of 200 after {since(started)}, as")
    print_items(client, client.send("POST", "/recommend", request)["items"][place : place + 1])


def gone(client: Client, name: str) -> None:
    """The new item deleted, the unknown user erased: neither is answered again."""
    say("Afterwards: the new item deleted, the unknown user erased")
    client.send("DELETE", f"/items/{name}")
    request = {"history": liked(STAR_WARS, EMPIRE, JEDI), "n": 200}
    left = [one["item_id"] for one in client.send("POST", "/recommend", request)["items"]]
    expect(name not in left, "the deleted film was recommended")
    print("receipt:", client.send("DELETE", f"/users/{name}"))
    export = client.send("GET", f"/users/{name}/export", allow=(404,))
    expect("events" not in export, "the erased user still has an export")


def appears(ask: Callable[[], list[Json]], item: str, started: float) -> int:
    """Position of an item in a list that is asked for until it is there; DemoError after FRESH_S."""
    while True:
        ids = [one["item_id"] for one in ask()]
        late = time.monotonic() - started > FRESH_S
        if item in ids:
            expect(not late, f"the new item took {since(started)}")
            return ids.index(item)
        expect(not late, f"the new item did not turn up within {FRESH_S:g} s")
        time.sleep(0.02)


def since(started: float) -> str:
    """Time since a moment, to print."""
    return f"{1000 * (time.monotonic() - started):.0f} ms"


def stay(client: Client, process: subprocess.Popen[bytes]) -> None:
    """Leave the service up until a signal comes; not at all with DEMO_EXIT=1."""
    if os.environ.get("DEMO_EXIT") == "1":
        return
    say(f"Polyrank answers at {client.address} (its description: {client.address}/openapi.json). Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        return
    raise DemoError(f"the service ended by itself with status {status}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
