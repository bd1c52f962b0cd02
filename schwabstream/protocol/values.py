"""The kinds of values that fields have, and the values that Schwab writes in another form than their kind."""

from enum import Enum


class Kind(Enum):
    """The kind of a field's decoded value."""

    FLOAT = "float"
    INT = "int"
    TEXT = "text"
    CHAR = "char"
    """A text of one character; some services send its code (protocol 4.4)."""
    FLAG = "flag"
    LIST = "list"


def whole(value: object) -> int:
    """A 64-bit integer, which may be written with a decimal point; raises ``TypeError`` for any other value."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) < 2**63:
        return int(value)
    raise TypeError("not a whole number")


def character(value: object) -> str:
    """The character of a printable ASCII code; raises ``TypeError`` for any other value."""
    if type(value) is int and 32 <= value < 127:
        return chr(value)
    raise TypeError("not the code of a printable character")
