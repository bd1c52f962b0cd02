"""The words of the texts: phrases that a native technical writer would not use stay rare."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = ("README.md", "docs", "schwabstream")
"""Files and folders whose texts are counted together."""
GENERATED = ("docs/asyncapi.yaml", "docs/performance")
"""Parts of them that a program writes: their words come from elsewhere."""
KINDS = frozenset({".md", ".py", ".toml", ".yaml", ".yml", ".json"})
FEWER_THAN = 5
PHRASES = (
    "tell",
    "tells",
    "told",
    "says? of itself",
    "what it says",
    r"(?<!there\s)(?:is|are|was|were) no(?!\s(?:longer|more))",
    "whoever",
    "stays behind",
    "those (?:that|who)",
    "what (?:arrives|waits|is wanted)",
    "for ever",
    "lies? in",
    "stands in",
    "stand-in",
    "weather",
    "stint",
    "lane",
    "inbox",
    "carry",
    "carries",
    "carried",
    "carrying",
    "known",
    "floor",
    "at rest",
    "refuses to",
    "twice for",
)
"""Each is a word or phrase as a regular expression, without its ends; a plainer one exists for all of them."""


def pattern(phrase: str) -> re.Pattern[str]:
    """What finds a phrase as whole words, across line ends, but not as a part of an identifier."""
    return re.compile(rf"(?<![A-Za-z_])(?:{phrase})(?![A-Za-z_])".replace(" ", r"\s+"), re.IGNORECASE)


def texts() -> Iterator[Path]:
    """The files that people write."""
    generated = tuple(ROOT / name for name in GENERATED)
    for name in TEXTS:
        place = ROOT / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in KINDS and not any(path.is_relative_to(each) for each in generated):
                yield path


def test_texts_are_found() -> None:
    """The count covers the README and the pages of the documentation, and leaves out what is generated."""
    names = {str(path.relative_to(ROOT)) for path in texts()}
    assert {"README.md", "docs/architecture.md", "docs/adr/index.md", "schwabstream/events/__init__.py"} <= names
    assert not any(name.startswith("docs/performance/") for name in names)


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_that_needs_a_plainer_one_is_rare(phrase: str) -> None:
    """Each phrase of the list occurs fewer than five times in all texts together."""
    wanted = pattern(phrase)
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path in texts()
        for text in [path.read_text(encoding="utf-8")]
        for match in wanted.finditer(text)
    ]
    assert len(found) < FEWER_THAN, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("a file that is\nno recording", True),
        ("Told by the log", True),
        ("it is no longer used", False),
        ("there is no table", False),
        ("an unknown symbol", False),
        ("carry_over", False),
    ],
)
def test_phrases_are_whole_words(text: str, counted: bool) -> None:
    """A phrase is found across lines and in capitals, but neither within another word nor in ordinary English."""
    assert any(pattern(phrase).search(text) for phrase in PHRASES) is counted
