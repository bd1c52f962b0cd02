"""Dashboards and alert rules against what a run exposes: each expression must find series, and its labels in them."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
NAME = "__name__"
_SELECTOR = re.compile(r"\b((?:schwabstream|process)_\w+)(?:\{([^}]*)\})?|\b(up)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_LABELS = re.compile(r"(?:by|on) ?\(([^)]*)\)|\{\{ ?(?:\$labels\.)?(\w+) ?\}\}")

Series = dict[str, str]


def series_of(text: str, job: str) -> list[Series]:
    """The series that Prometheus makes of an exposition, each as its labels and its name."""
    families = text_string_to_metric_families(text)
    scraped = {"instance": "127.0.0.1:9123", "job": job}
    return [scraped | sample.labels | {NAME: sample.name} for family in families for sample in family.samples]


def panels(board: str) -> Iterator[tuple[str, str]]:
    """The title and each expression, with its legend, of each panel of a dashboard."""
    for panel in json.loads((OPERATIONS / board).read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], f"{target['expr']} {target['legendFormat']}"


def variables(board: str) -> Iterator[tuple[str, str]]:
    """The name and the query of each variable of a dashboard, as an expression."""
    for variable in json.loads((OPERATIONS / board).read_text())["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert query is not None
            yield variable["name"], f"{query[1]} {{{{{query[2]}}}}}"


def rules(file: str) -> Iterator[tuple[str, str]]:
    """The name and the expression of each alert."""
    yield from re.findall(r"alert: (\w+)\n\s+expr: (.*)", (OPERATIONS / file).read_text())


def unmatched(expressions: Iterable[tuple[str, str]], series: list[Series]) -> list[str]:
    """What finds nothing: each selector without a series, and each label that the series found do not have."""
    problems = []
    for title, expression in expressions:
        found: list[Series] = []
        for name, matchers, up, of_up in _SELECTOR.findall(re.sub(r"\$\w+(?=\")", ".*", expression)):
            matching = [each for each in series if each[NAME] == (name or up) and _fits(each, matchers or of_up)]
            found += matching
            if not matching:
                problems.append(f"{title}: {name or up}{{{matchers or of_up}}}")
        labels = {label.strip() for pair in _LABELS.findall(expression) for label in ",".join(pair).split(",")} - {
            "",
            "le",
        }
        problems += [f"{title}: label {label}" for label in labels if not any(label in each for each in found)]
    return problems


def _fits(series: Series, matchers: str) -> bool:
    """Whether a series has the labels that the matchers ask for."""
    for label, operator, value in _MATCHER.findall(matchers):
        pattern = value if "~" in operator else re.escape(value)
        if (re.fullmatch(pattern, series.get(label, "")) is None) is not operator.startswith("!"):
            return False
    return True
