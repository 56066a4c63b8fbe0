"""Pieces of an HTML page without scripts: head, tables, values as people read them."""

import html
from collections.abc import Mapping, Sequence
from math import isnan

STYLE = """
:root{color-scheme:light dark;--ink:#222;--paper:#fff;--faint:#d5d5d5;--mark:#e3f4e1;--good:#1c7a3a;--bad:#b3362b}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--paper:#181a1b;--faint:#494d50;--mark:#24402a;--good:#6fcf8b;
--bad:#f08a80}}
body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;color:var(--ink);
background:var(--paper)}
table{border-collapse:collapse;margin:1rem 0}
td,th{border-bottom:1px solid var(--faint);padding:.25rem .8rem;text-align:left;vertical-align:top}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.wide td:first-child,.wide th:first-child{white-space:nowrap}
.wide{overflow-x:auto}svg{max-width:100%;height:auto;font-family:system-ui,sans-serif}
h2{margin-top:2.8rem}nav a{margin-right:1rem;white-space:nowrap}a{color:inherit}
.hit{background:var(--mark)}.better{color:var(--good)}.worse{color:var(--bad);font-weight:600}
"""


def page(title: str, head: Sequence[str], parts: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A whole page: a title, what stands before the parts, and parts of (heading, lines) that its links lead to."""
    links = "".join(f'<a href="#{anchor(name)}">{text(name)}</a>' for name, _ in parts)
    body = [f'<h2 id="{anchor(name)}">{text(name)}</h2>' + "\n".join(lines) for name, lines in parts]
    start = f"<!doctype html><html lang=en><meta charset=utf-8><title>{text(title)}: report</title>"
    look = f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
    return "\n".join([start + look, f"<h1>{text(title)}</h1>", *head, f"<nav>{links}</nav>", *body, "</html>"])


def anchor(name: str) -> str:
    """A heading as the name that links use."""
    return name.lower().replace(" ", "-")


def figures_table(figures: Mapping[str, Mapping[str, object]], first: str = "") -> str:
    """A table of name → figure → value; `first` heads the column of names."""
    columns = list(dict.fromkeys(name for one in figures.values() for name in one))
    head = f"<th>{text(first)}" + "".join(f"<th class=n>{text(name)}" for name in columns)
    body = "".join(
        f"<tr><td>{text(name)}" + "".join(_cell(one.get(column, "")) for column in columns)
        for name, one in figures.items()
    )
    return f"<div class=wide><table><tr>{head}{body}</table></div>"


def _cell(value: object) -> str:
    kind = {"better": " better", "helps": " better", "worse": " worse", "hurts": " worse"}.get(str(value), "")
    return f'<td class="n{kind}">{text(shown(value))}'


def rows_table(rows: Sequence[tuple[str, object]]) -> str:
    """A table of two columns."""
    return "<table>" + "".join(f"<tr><td>{text(left)}<td>{text(shown(right))}" for left, right in rows) + "</table>"


def shown(value: object) -> str:
    """A value as people read it: whole numbers whole, others to four digits, an unknown one as a dash."""
    if not isinstance(value, float):
        return str(value)
    if isnan(value):
        return "–"
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def text(value: str) -> str:
    """A text as HTML."""
    return html.escape(value)
