"""The error tree: what its docstring draws is what the classes are."""

import inspect
import pickle
import re

import pytest

from schwabstream import errors
from schwabstream.errors import SchwabStreamError, SchwabUnavailable

CLASSES: dict[str, type[SchwabStreamError]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, SchwabStreamError)
}


def drawn() -> dict[str, tuple[str | None, int]]:
    """Name → parent and exit code, as the tree in the module's docstring draws them."""
    tree: dict[str, tuple[str | None, int]] = {}
    parents: dict[int, str] = {}
    for indent, name, code in re.findall(r"^ {4}([│├└─ ]*)(\w+) +exit (\d)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        tree[name] = (parents.get(depth - 1), int(code))
        parents[depth] = name
    return tree


def test_the_drawing_is_the_tree() -> None:
    """Every class is drawn once, under its parent, with its exit code, and nothing else is drawn."""
    assert drawn() == {
        name: (next((base.__name__ for base in kind.__bases__ if base.__name__ in CLASSES), None), kind.exit_code)
        for name, kind in CLASSES.items()
    }


def test_each_kind_has_a_label_of_its_own() -> None:
    """Metrics keep two kinds apart by their labels, so none inherits its parent's."""
    assert all("label" in vars(kind) for kind in CLASSES.values())
    assert len({kind.label for kind in CLASSES.values()}) == len(CLASSES)


def test_exit_codes_are_the_contracts() -> None:
    """Usage 2, login 3, Schwab away 4, protocol 5, refused 6, token file 7, Redis 8; 1 for the unexpected only."""
    codes = {
        "SchwabStreamError": 1,
        "ConfigurationError": 2,
        "LoginRequired": 3,
        "SchwabUnavailable": 4,
        "ProtocolError": 5,
        "Refused": 6,
        "TokenFileError": 7,
        "RedisUnavailable": 8,
    }
    assert {name: CLASSES[name].exit_code for name in codes} == codes


@pytest.mark.parametrize("kind", CLASSES.values())
def test_a_special_case_exits_like_its_general_one(kind: type[SchwabStreamError]) -> None:
    """Catching only the general error does the right thing with a special one: the exit code is the same."""
    parent = kind.__bases__[0]
    if issubclass(parent, SchwabStreamError) and parent is not SchwabStreamError:
        assert kind.exit_code == parent.exit_code


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_has_the_message_it_was_given(name: str) -> None:
    """Every error prints as its message and differs from a bug: its only built-in base is ``Exception``."""
    error = CLASSES[name]("what failed, on what, and the next step")
    assert str(error) == "what failed, on what, and the next step"
    assert CLASSES[name].__mro__[-3:] == (Exception, BaseException, object)
    assert CLASSES[name].__doc__


def test_what_schwab_asked_to_wait_travels_with_the_error() -> None:
    """``retry_after_s`` is kept when Schwab gave one and None when it did not, through a pickle too."""
    assert SchwabUnavailable("busy").retry_after_s is None
    error = pickle.loads(pickle.dumps(errors.SessionLost("busy", retry_after_s=2.5)))
    assert (str(error), error.retry_after_s) == ("busy", 2.5)
