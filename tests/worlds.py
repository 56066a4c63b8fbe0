"""Small synthetic domains whose right answers are known by construction; written as files with a dataset.toml.

The world of `write_world`: four genres; each user likes one (`liked`), gives its items 4 or 5 and all others 1 to 3;
eight of ten steps go on with the next item of the liked genre (`successor`). Titles, genres and graph entities all tell
the genre (`genre_of`). The last item of each genre has no interactions at all (`COLD`), and item ids hold a slash.
"""

import csv
import gzip
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

GENRES = ("comedy", "horror", "romance", "western")
WORDS = {
    "comedy": "funny clowns and silly jokes",
    "horror": "scary ghosts in a dark haunted house",
    "romance": "two hearts in love and a wedding",
    "western": "cowboys with horses and a sheriff",
}
PER_GENRE = 20
USERS = 120
START = 1_700_000_000  # epoch seconds of the first event
COLD = tuple(f"{genre}/{PER_GENRE}" for genre in GENRES)
SHOP_COLUMNS = (
    "timestamp", "eventType", "contentId", "personId", "sessionId", "userAgent", "userRegion", "userCountry",
)  # fmt: skip
AGENTS = ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_2)", "Mozilla/5.0 (Linux; Android 6.0)", "", "curl/7.1")
NEWS = Path(__file__).parents[1] / "recipes" / "news" / "dataset.toml"

RECIPE = """
name = "world"
[interactions]
path = "ratings.tsv"
user = "user_id"
item = "item_id"
event = "rating"
value = "rating"
timestamp = "timestamp"
context = ["device", "hour"]
[items]
path = "items.tsv"
id = "item_id"
text = ["title"]
multi = { genres = "|" }
numeric = ["release_year"]
[users]
path = "users.tsv"
id = "user_id"
numeric = ["age"]
categorical = ["gender"]
[graph]
path = "kg.tsv"
link = { path = "links.tsv" }
[scenes.evening_comedies]
items = "'comedy' in genres"
when = "hour >= 18"
[scenes.old]
items = "release_year < 1990"
[[tasks]]
name = "interest"
kind = "binary"
label = "event == 'rating'"
negatives = 4
[[tasks]]
name = "like"
kind = "binary"
label = "value >= 4"
given = "event == 'rating'"
[[tasks]]
name = "rating"
kind = "regression"
label = "value"
low = 1
high = 5
[[tasks]]
name = "genres"
kind = "item_attributes"
weight = 0.1
[[tasks]]
name = "graph"
kind = "graph_links"
weight = 0.1
[training]
dim = 16
history = 20
rank_history = 10
layers = 1
expert_width = 16
ranker_width = 32
n_experts = 2
graph_dim = 8
[serving]
blend = { interest = 1.0, like = 0.3 }
candidates = 60
"""


def item_ids() -> list[str]:
    """Every item id, in the order of the items table."""
    return [f"{genre}/{number}" for genre in GENRES for number in range(1, PER_GENRE + 1)]


def user_ids() -> list[str]:
    """Every user id."""
    return [f"u{number}" for number in range(1, USERS + 1)]


def genre_of(item_id: str) -> str:
    """The genre an item has."""
    return item_id.split("/")[0]


def liked(user_id: str) -> str:
    """The genre a user likes."""
    return GENRES[int(user_id[1:]) % len(GENRES)]


def successor(item_id: str) -> str:
    """The item that most often follows; the round leaves out the cold item."""
    genre, number = item_id.split("/")
    return f"{genre}/{int(number) % (PER_GENRE - 1) + 1}"


def write_world(folder: Path, seed: int = 0) -> Path:
    """Write the world's tables and recipe into `folder`; the path of its dataset.toml. Same seed, same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    events = sorted(event for user in user_ids() for event in _walk(user, rng))
    ratings = [(user, item, rating, time, device) for time, user, item, rating, device in events]
    _write(folder / "ratings.tsv", ("user_id", "item_id", "rating", "timestamp", "device"), ratings)
    _write(folder / "items.tsv", ("item_id", "title", "genres", "release_year"), map(_item, item_ids()))
    profiles = [(user, 20 + place % 40, "FM"[place % 2]) for place, user in enumerate(user_ids())]
    _write(folder / "users.tsv", ("user_id", "age", "gender"), profiles)
    _write(folder / "kg.tsv", ("head", "relation", "tail"), _triples())
    _write(folder / "links.tsv", ("item_id", "entity_id"), [(item, _entity(item)) for item in item_ids()])
    path = folder / "dataset.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def add_links(path: Path, seed: int = 0) -> None:
    """Link users of the world (its dataset.toml is `path`) who like the same genre, and now and then some others."""
    rng, pairs = random.Random(seed), set[tuple[str, str]]()
    for user in user_ids():
        like = [one for one in user_ids() if liked(one) == liked(user) and one != user]
        pairs |= {(user, one) for one in rng.sample(like, 4)}
        if rng.random() < 0.3:
            pairs.add((user, rng.choice([one for one in user_ids() if one != user])))
    rows = [(*pair, rng.choices(("train", "valid", "test"), (8, 1, 1))[0]) for pair in sorted(pairs)]
    _write(path.parent / "friends.tsv", ("source", "target", "part"), rows)
    links = '[links]\npath = "friends.tsv"\nevent = "befriend"\nsplit = "part"\n'
    path.write_text(path.read_text(encoding="utf-8").replace("[scenes.", f"{links}[scenes.", 1), encoding="utf-8")


def write_shop(folder: Path, seed: int = 0) -> Path:
    """Write a multi-event log with the Deskdrop columns and the recipe recipes/news; the path of its dataset.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    rows = sorted(row for user in range(40) for row in _visits(user, rng))
    with gzip.open(folder / "users_interactions.csv.gz", "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([SHOP_COLUMNS, *rows])
    path = folder / "dataset.toml"
    path.write_text(NEWS.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def _walk(user: str, rng: random.Random) -> list[tuple[int, str, str, int, str]]:
    """One user's events: (time, user, item, rating, device), no item twice."""
    time = START + rng.randrange(80 * 86400)
    here = f"{liked(user)}/{rng.randint(1, PER_GENRE - 1)}"
    warm, seen, events = [item for item in item_ids() if item not in COLD], set[str](), []
    for _ in range(rng.randint(12, 21)):
        here = successor(here)
        item = here if rng.random() < 0.8 else rng.choice(warm)
        rating = rng.randint(4, 5) if genre_of(item) == liked(user) else rng.randint(1, 3)
        if item not in seen:
            events.append((time, user, item, rating, rng.choice(("phone", "tv"))))
        seen.add(item)
        time += rng.randint(600, 86400)
    return events


def _item(item: str) -> tuple[str, str, str, int]:
    genre, number = item.split("/")
    return item, f"A {genre} of {WORDS[genre]}, part {number}", genre, 1980 + int(number)


def _entity(item: str) -> str:
    return "e." + item.replace("/", "-")


def _triples() -> list[tuple[str, str, str]]:
    """The graph: each item's genre, and a director who makes films of one genre only (two a genre)."""
    genres = [(_entity(item), "film.genre", f"g.{genre_of(item)}") for item in item_ids()]
    makers = [(_entity(item), "film.director", _maker(item)) for item in item_ids()]
    return genres + makers


def _maker(item: str) -> str:
    genre, number = item.split("/")
    return f"p.{genre}-{int(number) % 2}"


def _visits(user: int, rng: random.Random) -> list[tuple[int, str, str, str, str, str, str, str]]:
    """One reader's rows; ids are negative integers as in the source. Every third article a reader views gets a like."""
    time, agent = START + rng.randrange(86400 * 20), rng.choice(AGENTS)
    place = ("SP", "BR") if agent else ("", "")
    rows = []
    for step in range(rng.randint(8, 16)):
        article = rng.randrange(30)
        kinds = ["VIEW", *(["LIKE"] if article % 3 == 0 else []), *(["BOOKMARK"] if article % 5 == 0 else [])]
        kinds += ["COMMENT CREATED"] if (article + user) % 7 == 0 else []
        kinds += ["FOLLOW"] if (article + user) % 11 == 0 else []
        for kind in kinds:
            rows.append((time, kind, str(-1000 - article), str(-7 - user), str(user * 100 + step), agent, *place))
            time += 30
        time += rng.randint(3600, 86400)
    return rows


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *rows])
