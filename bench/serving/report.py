"""What was measured, as the JSON object, the table and the page of the documents."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

REACH: dict[str, tuple[str, str]] = {
    "ratio_to_empty": ("≥ 0.13", "requests a second over those of an empty FastAPI endpoint with the same body"),
    "ratio_to_naive": ("≥ 2.2", "over those of the naive pipeline, whose scores are equal within 1e-5"),
    "cpu_over_stages": ("≤ 1.10", "CPU a request over the sum of its stages measured alone"),
    "two_workers_over_one": ("≥ 1.9", "requests a second of two workers over one, nothing pinned"),
    "p99_ms_open_loop_65": (
        "≤ 9",
        "milliseconds at 65 % of the capacity, at a constant rate; Poisson: below",
    ),
    "million_over_100k": ("≥ 0.9", "requests a second with 1,000,000 items over those with 100,000"),
    "recall_at_100": ("≥ 0.97", "of the index against exact search, real user vectors"),
    "ranker_over_gemm_floor": ("≥ 0.70", "time its multiplications would take as one product over the ranker's time"),
    "rss_mb_per_worker": ("", "resident memory of a worker, mapped files included"),
}
PAGE = "docs/performance.md"


@dataclass(frozen=True)
class Report:
    """`figures` under the keys of REACH; `rows` of the table below: what, figure, unit; `told`: how it was measured."""

    figures: Mapping[str, float]
    rows: list[tuple[str, float, str]]
    told: list[str]

    def table(self) -> str:
        """Both tables as Markdown."""
        lines = ["| figure | measured | reach | what it is |", "|---|---:|---|---|"]
        for name, (reach, what) in REACH.items():
            lines.append(f"| `{name}` | {self.figures[name]:.4g} | {reach or '–'} | {what} |")
        lines += ["", "| measured | figure | unit |", "|---|---:|---|"]
        lines += [f"| {what} | {figure:,.4g} | {unit} |" for what, figure, unit in self.rows]
        return "\n".join(lines)

    def page(self) -> str:
        """docs/performance.md."""
        when, told = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "\n".join(f"- {one}" for one in self.told)
        return (
            f"# Performance\n\nWritten by `make bench-serving` on {when}, on {machine()}.\n\n{told}\n\n{self.table()}\n"
        )


def machine() -> str:
    """The processor and the system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0] if names else platform.machine()}, {platform.system()} {platform.release()}"
