"""Packs commands in Redis's wire format (RESP), for a writer that sends thousands at once. No I/O."""


def bulk(value: bytes) -> bytes:
    """One argument of a command, packed."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def command(*words: str | bytes | int, more: int = 0) -> bytes:
    """The start of a packed command: these words, and ``more`` arguments that the caller appends."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % (len(encoded) + more) + b"".join(map(bulk, encoded))
