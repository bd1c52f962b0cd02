"""docs/protocol.md: what the code cites is there, and its tables are the code's."""

import re
from pathlib import Path

import pytest

from schwabstream.protocol.fields import FIELDS, Service

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", DOCUMENT, flags=re.MULTILINE))
TRAPS = set(re.findall(r"^\* \*\*(T\d+)\*\* ", DOCUMENT, flags=re.MULTILINE))
TABLES = re.findall(r"<!-- table (\w+) -->\n((?:\|.*\n)+)", DOCUMENT)
SOURCES = sorted((ROOT / "schwabstream").rglob("*.py"))


def cited(pattern: str, number: str) -> set[tuple[str, str]]:
    """Every number of every citation, with the file it stands in."""
    return {
        (path.name, found)
        for path in SOURCES
        for citation in re.findall(pattern, path.read_text(encoding="utf-8"))
        for found in re.findall(number, citation)
    }


def test_every_cited_section_exists() -> None:
    """Each (protocol N.N) in the code names a section of the document."""
    citations = cited(r"\(protocol\s((?:\d+(?:\.\d+)?(?:, | and | to )?)+)", r"\d+(?:\.\d+)?")
    assert citations
    assert {(name, section) for name, section in citations if section not in SECTIONS} == set()


def test_every_cited_trap_exists() -> None:
    """Each (trap TN) in the code names a trap of the document."""
    citations = cited(r"\(traps?\s([^)]*)", r"T\d+")
    assert citations
    assert {(name, trap) for name, trap in citations if trap not in TRAPS} == set()


def test_sections_and_traps_keep_their_numbers() -> None:
    """The numbering that citations rely on has no holes."""
    assert {str(n) for n in range(11)} <= SECTIONS
    assert {f"4.{n}" for n in range(1, 12)} <= SECTIONS
    assert {f"T{n}" for n in range(1, 25)} == TRAPS


@pytest.mark.parametrize(("service", "table"), TABLES, ids=[service for service, _ in TABLES])
def test_tables_are_those_of_the_code(service: str, table: str) -> None:
    """A field table of the document is the code's, row by row."""
    rows = ["| # | here | guide | kind | note |", "|---|---|---|---|---|"]
    rows += [
        f"| {f.number} | `{f.name}` | {f.official} | {f.kind.value} | {f.note} |" for f in FIELDS[Service[service]]
    ]
    assert table.splitlines() == rows


def test_every_fact_table_of_level_one_is_there() -> None:
    """All level-1 services, one book, the charts, a screener and account activity have a table."""
    assert {name for name, _ in TABLES} >= {s.name for s in Service if s.startswith("LEVELONE_")} | {
        "NASDAQ_BOOK",
        "CHART_EQUITY",
        "CHART_FUTURES",
        "SCREENER_EQUITY",
        "ACCT_ACTIVITY",
    }
