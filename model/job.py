"""`polyrank train` and `polyrank evaluate`: from a recipe to a sealed bundle, and from a bundle to its figures."""

import argparse
import logging
import secrets
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from model.bundle import PEOPLE, Bundle, BundleWriter, DatasetInfo, Manifest, Parity, open_bundle, version_name
from model.config import Recipe, parse_changes, recipe_file
from model.data.checks import refuse_failures, run_checks
from model.data.loading import load
from model.data.log import TRAIN, VALID, Dataset
from model.data.people import people_dataset, people_recipe
from model.encoding import Encoder, run_encoder
from model.errors import BundleError, DataError
from model.export.onnx import export_graphs
from model.export.parity import prove
from model.train.evaluate import Evaluation, evaluate, table
from model.train.fit import Fitted, fit
from model.train.package import write_package
from model.train.plan import is_temporal
from model.train.record import Record
from model.train.report import write_report
from model.train.study import study, twin_figures
from model.train.system import System, of_bundle, of_fitted
from model.train.texts import catalogue_texts
from model.train.threads import choose_threads

log = logging.getLogger(__name__)
LEAST_LINKS = 50  # between users, from which whom to link is learned
THREADS = 2  # at most: more pays little on nets of this size
Seal = Callable[[Path], Any]


def train_command(arguments: argparse.Namespace) -> int:
    """`polyrank train`: recipe → data → checks → learning → bundle → seal; prints the figures and the bundle's path."""
    recipe = asked_recipe(arguments)
    path = train(recipe, arguments.data, arguments.out)
    sys.stdout.write(f"{path}\n")
    return 0


def asked_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe under the profile, seed and settings of the command line."""
    seed = {} if arguments.seed is None else {"training.seed": arguments.seed}
    return Recipe.load(arguments.recipe).under(arguments.profile, parse_changes(arguments.settings) | seed)


def train(recipe: Recipe, data_dir: Path | None, out: Path, runs: Path = Path("runs")) -> Path:
    """Learn a recipe and leave a sealed bundle in `out`; its path. Raises PolyrankError where any step refuses."""
    log.info("threads: %d", choose_threads(THREADS))
    dataset = load(recipe, data_dir)
    refuse_failures(run_checks(recipe, dataset))
    created = datetime.now(UTC)
    version = free_version(out, version_name(created, secrets.token_hex(2)))
    record = Record(runs / version)
    try:
        return _trained(recipe, dataset, record, out / version, created)
    finally:
        record.close()


def free_version(out: Path, version: str) -> str:
    """The version itself, with a number when a bundle of that name exists."""
    names = [version, *(f"{version}-{number}" for number in range(2, 100))]
    return next(name for name in names if not (out / name).exists())


def _trained(recipe: Recipe, dataset: Dataset, record: Record, target: Path, created: datetime) -> Path:
    """The stages after the data is known to be sound."""
    texts = catalogue_texts(recipe.items.text if recipe.items else (), dataset)
    encoder = run_encoder(recipe, dataset, texts, record, THREADS)
    text = encoder.vectors(texts, THREADS)
    record.stage("texts")
    fitted = fit(recipe, dataset, text, record)
    system = of_fitted(fitted)
    found = evaluate(recipe, dataset, system, recipe.training.seed)
    found.figures.update(study(recipe, dataset, system, found, recipe.training.seed))
    found.figures.update(twin_figures(recipe, fitted, found))
    record.figures |= found.figures
    record.stage("evaluation")
    sys.stdout.write(table(found.figures) + "\n")
    people = trained_people(recipe, dataset, record, target.name, created)
    write_bundle(recipe, dataset, fitted, encoder, found, record, target, created, people)
    record.stage("export")
    sealer()(target)
    record.stage("seal")
    return target


def trained_people(recipe: Recipe, dataset: Dataset, record: Record, version: str, created: datetime) -> Path | None:
    """A bundle of the people themselves, where the recipe declares links between them; it joins the domain's own."""
    links = 0 if dataset.links is None else len(dataset.links.pairs)
    if links < LEAST_LINKS:
        if links:
            log.warning("people: %d links are too few to learn from, give %d", links, LEAST_LINKS)
        return None
    log.info("people: %d links", links)
    beside = Record(record.folder / PEOPLE)
    try:
        told = people_recipe(recipe), people_dataset(recipe, dataset)
        made = _trained(*told, beside, record.folder / PEOPLE / "bundle" / version, created)
    finally:
        beside.close()
    record.figures[PEOPLE] = beside.figures | {"content_digest": open_bundle(made).manifest.content_digest}
    record.stage(PEOPLE)
    return made


def write_bundle(
    recipe: Recipe,
    dataset: Dataset,
    fitted: Fitted,
    encoder: Encoder,
    found: Evaluation,
    record: Record,
    target: Path,
    created: datetime,
    people: Path | None,
) -> None:
    """Everything as an unsealed bundle at `target`, with the sealed bundle of the people in it."""
    with BundleWriter(target.parent, target.name) as writer:
        export_graphs(fitted.model, fitted.spec, writer.path)
        parity = prove(fitted.model, writer.path, fitted.spec)
        for name in ("text_encoder.onnx", "tokenizer.json"):
            shutil.copy(encoder.folder / name, writer.file(name))
        write_package(writer, recipe, dataset, fitted, encoder.lexicon)
        if people is not None:
            shutil.move(people, writer.file(PEOPLE))
        facts = report_facts(recipe, dataset, record, created)
        write_report(writer.file("report.html"), dataset, of_fitted(fitted), found, record.curves, facts)
        writer.manifest(
            Manifest(
                version=target.name,
                created=created.isoformat(),
                recipe=recipe.to_dict(),
                spec=fitted.spec,
                schema_digest=fitted.spec.digest(),
                dataset=DatasetInfo.model_validate(dataset.summary()),
                calibration=dict(fitted.calibration),
                metrics=record.figures | {"minutes": record.minutes},
                parity={name: Parity(**one) for name, one in parity.items()},
                gates={"text_encoder": encoder.gate},
                text_encoder=encoder.told,
            )
        )


def report_facts(recipe: Recipe, dataset: Dataset, record: Record, created: datetime) -> dict[str, object]:
    """What stands at the head of a report."""
    counts = f"{len(dataset.log)} events, {len(dataset.users)} users, {len(dataset.items)} items"
    settings = recipe.training
    return {
        "made": f"{created:%Y-%m-%d %H:%M} UTC",
        "data": counts,
        "seed": settings.seed,
        "refit": "train and valid" if settings.refit else "train only",
        "experts, weighting": f"{settings.experts}, {settings.weighting}",
        "minutes": ", ".join(f"{name} {value:.2f}" for name, value in record.minutes.items()),
    }


def sealer() -> Seal:
    """What seals bundles here: the first entry point of the group polyrank.sealers."""
    for point in entry_points(group="polyrank.sealers"):
        seal: Seal = point.load()
        return seal
    raise BundleError("polyrank.sealers", None, "install the package, so that its entry points are known")


def evaluate_command(arguments: argparse.Namespace) -> int:
    """`polyrank evaluate`: a sealed bundle on its test part against peers, as a table and a report."""
    bundle = open_bundle(arguments.bundle)
    recipe = Recipe.parse(bundle.manifest.recipe, arguments.recipe and recipe_file(arguments.recipe))
    dataset = load(recipe, arguments.data)
    check_ids(bundle, dataset)
    system = bundle_system(recipe, bundle, dataset)
    found = evaluate(recipe, dataset, system, recipe.training.seed)
    found.figures.update(study(recipe, dataset, system, found, recipe.training.seed))
    sys.stdout.write(table(found.figures) + "\n")
    path = arguments.report or Path(f"report-{bundle.version}.html")
    facts = {"bundle": bundle.version, "made": bundle.manifest.created, "seed": recipe.training.seed}
    write_report(path, dataset, system, found, [], facts)
    sys.stdout.write(f"{path}\n")
    return 0


def check_ids(bundle: Bundle, dataset: Dataset) -> None:
    """Raise DataError when the tables are not those that the bundle was trained on."""
    if dataset.fingerprint() != bundle.manifest.dataset.fingerprint:
        move = "give with --data the tables that the bundle was trained on"
        raise DataError(f"tables of {bundle.version}", dataset.fingerprint()[:12], move)


def bundle_system(recipe: Recipe, bundle: Bundle, dataset: Dataset) -> System:
    """A sealed bundle as evaluation sees it."""
    known = dataset.log.part(TRAIN, VALID) if recipe.training.refit else dataset.log.part(TRAIN)
    return of_bundle(bundle, known, is_temporal(dataset.log), THREADS)
