"""Text from outside as shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.escapes import safe


@given(st.text())
def test_nothing_unprintable_is_shown(foreign: str) -> None:
    """Any text from the wire is shown printable, and printable text is unchanged."""
    shown = safe(foreign)
    assert shown.isprintable()
    assert foreign.isprintable() is (shown == foreign) or not foreign


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b[2J", "\\u001b[2J"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("a\nb", "a\\nb"),
        ("\ud800", "\\ud800"),
        ("\u202eevil", "\\u202eevil"),
        ("[bold]x", "[bold]x"),
        ("é", "é"),
    ],
)
def test_control_characters_are_escapes(foreign: str, shown: str) -> None:
    """Escape sequences, newlines and direction overrides come out as text."""
    assert safe(foreign) == shown


@given(st.dictionaries(st.text(), st.text()))
def test_json_stays_what_it_was(value: dict[str, str]) -> None:
    """A line of JSON stays one, with the same content, and prints."""
    line = json.dumps(value, ensure_ascii=False)
    assert json.loads(safe(line)) == value
    assert safe(line).isprintable()
