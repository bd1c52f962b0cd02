"""Text from outside, fit to be shown; pure.

Nothing from the wire, from Redis or from a file reaches a terminal, a log line or an error message but through
:func:`safe`: control characters come out as escapes, so no text can move the cursor, change colours, turn the line
around or retitle the window.
"""

import json


def safe(text: str) -> str:
    """The text with everything that does not print, C1 and bidirectional controls too, shown as an escape.

    The escapes are JSON's: a line of JSON stays one, and means what it meant.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
