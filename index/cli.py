"""`polyrank index BUNDLE`: encode the catalogue, build the indexes, hold them to the gate, seal."""

import argparse
import sys
from pathlib import Path
from typing import Any


def register(commands: Any) -> None:
    """Add the command `index`."""
    parser = commands.add_parser("index", help="encode a bundle's catalogue, build its indexes and seal it")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a bundle, sealed or not")
    parser.add_argument("--gate", type=float, default=0.97, help="least recall@100 against exact search (default 0.97)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Seal the bundle named and print what was measured."""
    from index.build import seal  # here, so that `polyrank --help` loads no FAISS

    manifest = seal(arguments.bundle, arguments.gate)
    for name in ("items.faiss", "users.faiss"):
        found = manifest.gates[name]
        sys.stdout.write(f"{name}: {found['index']}, recall@100 {found['recall_at_100']:.4f} (gate {found['gate']})\n")
    sys.stdout.write(f"sealed {manifest.version}, content {manifest.content_digest[:12]}\n")
