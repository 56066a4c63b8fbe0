"""The run folder: curves as TensorBoard events and JSON, figures as metrics.json."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Record:
    """What a run leaves behind in its folder; also knows how long each stage took."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.curves: list[dict[str, float]] = []
        self.figures: dict[str, Any] = {}
        self.minutes: dict[str, float] = {}
        self._board = SummaryWriter(str(folder))
        self._since = time.perf_counter()

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Figures of one epoch of one stage."""
        for name, value in figures.items():
            self._board.add_scalar(name, value, number)
        self.curves.append({"epoch": number, **figures})
        log.info("epoch %d: %s", number, ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))

    def refit_epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Figures of one epoch of the second fit."""
        self.epoch(number, {f"refit/{name}": value for name, value in figures.items()})

    def stage(self, name: str) -> None:
        """The stage `name` ends here."""
        now = time.perf_counter()
        self.minutes[name] = round((now - self._since) / 60, 3)
        self._since = now
        log.info("%s took %.1f s", name, 60 * self.minutes[name])

    def close(self) -> None:
        """Write metrics.json and the curves."""
        self._board.close()
        everything = self.figures | {"minutes": self.minutes}
        (self.folder / "metrics.json").write_text(json.dumps(everything, indent=1), encoding="utf-8")
        (self.folder / "curves.json").write_text(json.dumps(self.curves), encoding="utf-8")
