"""What the context of a request is worth, on a made log of app usage whose rule is known.

    python bench/quality/context.py --users 950 --items 4000 --uses 96000

Which of their apps people use depends on taste, popularity and, strongly, on daytime, weekday and place; `--personal`
is how much of that is a habit of each user's own, by app and by kind of app. Weather is noise, and there are no times.
For each of some test rows every model ranks the app that was used among 99 others: random ones (`random`), or those
that the user has and the most popular (`own`). Models: how often the user used it before; boosted trees over counts
without the context's columns, with them, and with rates by user, app and context made by hand; and Polyrank trained
without and with the context. The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

CONTEXT = {
    "daytime": ["sunrise", "morning", "noon", "afternoon", "evening", "sunset", "night"],
    "weekday": ["mo", "tu", "we", "th", "fr", "sa", "su"],
    "place": ["elsewhere", "home", "work"],
    "weather": ["sunny", "cloudy", "foggy", "stormy", "snowy", "rainy"],
}
CATEGORIES, OTHERS, TAUGHT = 25, 99, 40
RECIPE = """name = "apps"
[interactions]
path = "log.csv"
user = "user"
item = "item"
event = "use"
context = {context}
[items]
path = "items.csv"
id = "item"
text = ["name"]
categorical = ["category"]
[split]
kind = "column"
[[tasks]]
name = "interest"
kind = "binary"
label = "event == 'use'"
negatives = 4
[training.profiles.quick]
ranker_examples = 40000
"""


def make_log(
    users: int, items: int, uses: int, personal: float, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The log (user, item, context, split) and its items (item, name, category)."""
    category, effects = generator.integers(0, CATEGORIES, items), {}
    for name, spread in (("daytime", 1.2), ("weekend", 1.0), ("place", 1.0)):
        effects[name] = spread * generator.standard_normal((7, CATEGORIES))[:, category]
    taste = generator.standard_normal((users, 8))
    kind = (generator.standard_normal((items, 8)) + generator.standard_normal((CATEGORIES, 8))[category]) / 2
    popular = -0.9 * np.log1p(generator.permutation(items))
    sizes = generator.lognormal(3.6, 1.3, users)
    parts = []
    for user, size in enumerate(np.maximum(3, sizes / sizes.sum() * uses).astype(int).tolist()):
        base = popular + 0.6 * kind @ taste[user]
        own = np.argsort(-(base + generator.gumbel(size=items)))[: min(items, int(6 + 0.35 * size))]
        seen = {name: generator.integers(0, len(values), size) for name, values in CONTEXT.items()}
        score = 0.6 * base[own] + effects["daytime"][seen["daytime"]][:, own] + effects["place"][seen["place"]][:, own]
        score += effects["weekend"][(seen["weekday"] >= 5).astype(int)][:, own]
        for name in ("daytime", "place") if personal else ():
            habits = generator.standard_normal((7, CATEGORIES))[:, category[own]] + generator.standard_normal(
                (7, len(own))
            )
            score += personal * habits[seen[name]]
        used = own[np.argmax(score + generator.gumbel(size=score.shape), axis=1)]
        parts.append(pd.DataFrame({"user": user, "item": used, **seen}))
    log = pd.concat(parts).sample(frac=1, random_state=0, ignore_index=True)
    for name, values in CONTEXT.items():
        log[name] = np.asarray(values)[log[name]]
    log["split"] = generator.choice(["train", "valid", "test"], len(log), p=[0.8, 0.1, 0.1])
    names = [f"app {row} of kind {one}" for row, one in enumerate(category)]
    return log, pd.DataFrame({"item": np.arange(items), "name": names, "category": [f"c{one}" for one in category]})


def make_pairs(
    log: pd.DataFrame, known: pd.DataFrame, rows: pd.DataFrame, generator: np.random.Generator, most: int = OTHERS
) -> pd.DataFrame:
    """For each of some rows of the log: the app that was used, and others among which it is looked for."""
    popular, had = known["item"].value_counts().index.to_numpy(), known.groupby("user")["item"].unique()
    items, parts = int(log["item"].max()) + 1, []
    for number, (_, row) in enumerate(rows.iterrows()):
        own = generator.permutation(had.get(row["user"], np.empty(0, np.int64)))[: most // 2]
        near = list(dict.fromkeys([row["item"], *own, *popular[: 2 * most]]))[: most + 1]
        far = list(dict.fromkeys([row["item"], *generator.choice(items, 2 * most).tolist()]))[: most + 1]
        for among, candidates in (("own", near), ("random", far)):
            told = {"list": f"{among}{number}", "among": among, "user": row["user"], "item": candidates}
            parts.append(pd.DataFrame(told | {name: row[name] for name in CONTEXT}).assign(label=0))
            parts[-1].loc[0, "label"] = 1
    return pd.concat(parts, ignore_index=True)


def figures(pairs: pd.DataFrame, scores: NDArray[np.float64]) -> dict[str, float]:
    """NDCG@10 and AUC of scores, among either kind of candidates."""
    found, told = {}, pairs.assign(score=scores).sample(frac=1, random_state=0)  # ties by lot
    for among, some in told.groupby("among"):
        rank = some.groupby("list")["score"].rank(ascending=False, method="first")[some["label"] == 1].to_numpy()
        found[f"{among} ndcg@10"] = round(float(np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean()), 4)
        found[f"{among} auc"] = round(float(roc_auc_score(some["label"], some["score"])), 4)
    return found


def counted(pairs: pd.DataFrame, known: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """What trees read: counts of item, user, both, and user in the item's category; then the context's columns."""
    kinds = items.set_index("item")["category"]
    known, mine = (
        known.assign(category=kinds.reindex(known["item"]).to_numpy()),
        kinds.reindex(pairs["item"]).to_numpy(),
    )
    rows = pairs.assign(category=mine)
    columns = {
        ",".join(keys): rows[keys].merge(known.groupby(keys).size().reset_index(name="n"), "left", keys)["n"].fillna(0)
        for keys in (["item"], ["user"], ["user", "item"], ["user", "category"])
    }
    made = pd.DataFrame({name: one.to_numpy() for name, one in columns.items()})
    made["share"] = made["user,item"] / np.maximum(made["user"], 1)
    for name in CONTEXT:
        for keys in (["user", name], ["user", "item", name], ["user", "category", name]):
            told = rows[keys].merge(known.groupby(keys).size().reset_index(name="n"), "left", keys)["n"].fillna(0)
            over = made[",".join(keys[:-1])].to_numpy()
            made[f"rate {','.join(keys)}"] = (told.to_numpy() + 1) / (over + len(CONTEXT[name]))
    for name in ("category", *CONTEXT):
        made[name] = pd.Categorical(rows[name]).codes
    return made


def trees(taught: pd.DataFrame, labels: pd.Series, asked: pd.DataFrame, without: Sequence[str]) -> NDArray[np.float64]:
    """What boosted trees say that learn without some columns."""
    columns = [name for name in taught if name not in without and str(name).split()[0] not in without]
    codes = [name for name in columns if name in ("category", *CONTEXT)]
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=300,
        max_leaf_nodes=63,
        min_samples_leaf=50,
        categorical_features=codes,
        random_state=0,
    )
    said: NDArray[np.float64] = model.fit(taught[columns], labels).predict_proba(asked[columns])[:, 1]
    return said


def polyrank(folder: Path, context: Sequence[str], seed: int) -> NDArray[np.float64]:
    """What Polyrank says of the folder's pairs, trained with some columns as the context."""
    command, name = str(Path(sys.executable).parent / "polyrank"), f"with{len(context)}"
    recipe, out = folder / f"{name}.toml", folder / f"{name}.parquet"
    recipe.write_text(RECIPE.format(context=json.dumps(list(context))))
    train = ["train", str(recipe), "--profile", "quick", "--seed", str(seed), "--out", str(folder / name)]
    score = ["score", str(folder / name / "current"), "--pairs", str(folder / "pairs.csv"), "--out", str(out)]
    for arguments in (train, score):
        subprocess.run([command, *arguments], check=True, stdout=sys.stderr)
    said: NDArray[np.float64] = pd.read_parquet(out)["interest"].to_numpy(np.float64)
    return said


def measure(folder: Path, log: pd.DataFrame, items: pd.DataFrame, rows: int, seed: int) -> dict[str, dict[str, float]]:
    """Figures of every model on so many test rows."""
    generator, known = np.random.default_rng(seed + 1), log[log["split"] != "test"]
    asked = log[log["split"] == "test"]
    pairs = make_pairs(log, known, asked.sample(min(rows, len(asked)), random_state=seed), generator)
    log.to_csv(folder / "log.csv", index=False)
    items.to_csv(folder / "items.csv", index=False)
    pairs.drop(columns="label").to_csv(folder / "pairs.csv", index=False)
    own = known.sample(
        min(8 * rows, len(known) // 4), random_state=seed
    )  # what trees learn, of which counts know nothing
    lessons, before = make_pairs(log, known, own, generator, TAUGHT // 2), known.drop(own.index)
    taught, told = counted(lessons, before, items), counted(pairs, known, items)
    said = {
        "own count": (told["user,item"] + told["item"] / 1e6).to_numpy(np.float64),
        "trees without context": trees(taught, lessons["label"], told, ["rate", *CONTEXT]),
        "trees": trees(taught, lessons["label"], told, ["rate"]),
        "trees with rates": trees(taught, lessons["label"], told, []),
        "polyrank without context": polyrank(folder, [], seed),
        "polyrank": polyrank(folder, list(CONTEXT), seed),
    }
    return {name: figures(pairs, scores) for name, scores in said.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("users", 950), ("items", 4000), ("uses", 96_000), ("rows", 1500), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--personal", type=float, default=0.7)
    asked = parser.parse_args(arguments)
    log, items = make_log(asked.users, asked.items, asked.uses, asked.personal, np.random.default_rng(asked.seed))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), log, items, asked.rows, asked.seed)
    sys.stdout.write(pd.DataFrame(found).T.to_string() + "\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
