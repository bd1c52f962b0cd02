"""Makes text from outside safe to display; pure.

All text from the wire, from Redis or from a file goes through :func:`safe` on its way to a terminal, a log line or an
error message. Control characters become escapes, so the text cannot move the cursor, change colours, reverse the line
or rename the window.
"""

import json


def safe(text: str) -> str:
    """The text with an escape for each unprintable character, including C1 and bidirectional controls.

    Uses the escapes of JSON, so a line of JSON keeps its meaning.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
