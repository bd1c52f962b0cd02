"""The commands on the streams of the Redis model, with Redis 7.0's answers.

XREAD and XREADGROUP answer None for "nothing yet": waiting is the server's.
"""

from collections.abc import Callable
from typing import Any

from tests.support.redis_streams import (
    MOST,
    NODE,
    SYNTAX,
    Entry,
    Group,
    Id,
    Pending,
    Refused,
    Stream,
    number,
    parse_id,
    show_id,
)


def _show(entries: list[Entry]) -> list[Any]:
    return [[show_id(each), [*fields]] for each, fields in entries]


def _range_id(text: bytes, missing: int) -> Id:
    if text in (b"-", b"+"):
        return (0, 0) if text == b"-" else MOST
    return parse_id(text, missing)


def _limits(words: list[bytes]) -> tuple[bytes, bytes, bool] | None:
    """Take MAXLEN or MINID, with ~ or =, from the front of the words."""
    if not words or words[0].upper() not in (b"MAXLEN", b"MINID"):
        return None
    kind, about = words.pop(0).upper(), False
    if words and words[0] in (b"~", b"="):
        about = words.pop(0) == b"~"
    if not words:
        raise Refused(SYNTAX)
    return kind, words.pop(0), about


def _xadd(data: Any, now: int, key: bytes, *words: bytes) -> bytes | None:
    rest = [*words]
    make = True
    if rest[0].upper() == b"NOMKSTREAM":
        make, _ = False, rest.pop(0)
    limits = _limits(rest)
    if len(rest) < 3 or len(rest) % 2 == 0:
        raise Refused("ERR wrong number of arguments for 'xadd' command")
    wanted = None if rest[0] == b"*" else parse_id(rest[0], 0)
    if wanted == (0, 0):
        raise Refused("ERR The ID specified in XADD must be greater than 0-0")
    present: Stream | None = data.get(key, Stream)
    if present is None and not make:
        return None
    last = present.last if present else (0, 0)
    each = wanted or (max(now, last[0]), last[1] + 1 if last[0] >= now else 0)
    if each <= last:
        raise Refused("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    stream: Stream = data.make(key, Stream)
    stream.entries.append((each, tuple(rest[1:])))
    stream.last, stream.added = each, stream.added + 1
    if limits:
        stream.trim(limits[0], limits[1], about=limits[2])
    return show_id(each)


def _xtrim(data: Any, _: int, key: bytes, *words: bytes) -> int:
    limits = _limits([*words])
    if limits is None:
        raise Refused(SYNTAX)
    stream: Stream | None = data.get(key, Stream)
    if stream is None:
        return 0
    removed = stream.trim(limits[0], limits[1], about=limits[2])
    if removed:
        data.touched.add(key)
    return removed


def _xlen(data: Any, _: int, key: bytes) -> int:
    stream: Stream | None = data.get(key, Stream)
    return len(stream.entries) if stream else 0


def _count(options: tuple[bytes, ...]) -> int | None:
    if not options:
        return None
    if len(options) != 2 or options[0].upper() != b"COUNT":
        raise Refused(SYNTAX)
    return max(0, number(options[1]))


def _xrange(data: Any, _: int, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[Any]:
    low, high, count = _range_id(first, 0), _range_id(last, MOST[1]), _count(options)
    stream: Stream | None = data.get(key, Stream)
    return _show(stream.between(low, high)[:count]) if stream else []


def _xrevrange(data: Any, _: int, key: bytes, last: bytes, first: bytes, *options: bytes) -> list[Any]:
    low, high, count = _range_id(first, 0), _range_id(last, MOST[1]), _count(options)
    stream: Stream | None = data.get(key, Stream)
    return _show(stream.between(low, high)[::-1][:count]) if stream else []


def reading(words: tuple[bytes, ...]) -> tuple[int | None, int | None, list[bytes], list[bytes]]:
    """COUNT, BLOCK, keys and ids of XREAD, and of XREADGROUP after its group and consumer."""
    rest, count, block = [*words], None, None
    while rest and rest[0].upper() in (b"COUNT", b"BLOCK"):
        word = rest.pop(0).upper()
        if not rest:
            raise Refused(SYNTAX)
        value = number(rest.pop(0))
        count, block = (value, block) if word == b"COUNT" else (count, value)
    if not rest or rest.pop(0).upper() != b"STREAMS":
        raise Refused(SYNTAX)
    half, odd = divmod(len(rest), 2)
    if odd or not half:
        raise Refused("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
    return count or None, block, rest[:half], rest[half:]


def _xread(data: Any, _: int, *words: bytes) -> dict[bytes, Any] | None:
    count, _block, keys, ids = reading(words)
    found = {}
    for key, text in zip(keys, ids, strict=True):
        stream: Stream | None = data.get(key, Stream)
        if text == b"$":
            continue
        after = parse_id(text, 0)
        if stream and (entries := stream.after(after, count)):
            found[key] = _show(entries)
    return found or None


def group_of(data: Any, key: bytes, name: bytes) -> tuple[Stream, Group]:
    """A group that must be there."""
    stream: Stream | None = data.get(key, Stream)
    group = stream.groups.get(name) if stream else None
    if stream is None or group is None:
        tail = " in XREADGROUP with GROUP option"
        raise Refused(f"NOGROUP No such key '{key.decode()}' or consumer group '{name.decode()}'{tail}")
    return stream, group


def _xreadgroup(data: Any, now: int, word: bytes, name: bytes, consumer: bytes, *words: bytes) -> object:
    if word.upper() != b"GROUP":
        raise Refused(SYNTAX)
    count, _block, keys, ids = reading(words)
    groups = [group_of(data, key, name) for key in keys]
    found: dict[bytes, Any] = {}
    for key, text, (stream, group) in zip(keys, ids, groups, strict=True):
        if text == b">":
            if entries := stream.after(group.last, count):
                found[key] = _deliver(stream, group, consumer, entries, now)
        else:
            group.consumers.add(consumer)
            found[key] = _own(stream, group, consumer, parse_id(text, 0), count, now)
    return found or None


def _deliver(stream: Stream, group: Group, consumer: bytes, entries: list[Entry], now: int) -> list[Any]:
    group.consumers.add(consumer)
    for each, _ in entries:
        group.read = stream.count_up_to(each) if group.read is None else group.read + 1
        group.last = each
        group.pending[each] = Pending(consumer, now)
    return _show(entries)


def _own(stream: Stream, group: Group, consumer: bytes, after: Id, count: int | None, now: int) -> list[Any]:
    mine = sorted(each for each, one in group.pending.items() if one.consumer == consumer and each > after)[:count]
    found: list[Any] = []
    for each in mine:
        entry = stream.between(each, each)
        found += _show(entry) if entry else [[show_id(each), None]]
        if entry:
            group.pending[each] = Pending(consumer, now, group.pending[each].times + 1)
    return found


def _xgroup(data: Any, _: int, word: bytes, key: bytes, name: bytes, start: bytes, *options: bytes) -> object:
    if word.upper() != b"CREATE":
        raise Refused(SYNTAX)
    stream: Stream | None = data.get(key, Stream)
    if stream is None and b"MKSTREAM" not in (option.upper() for option in options):
        raise Refused(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
            "MKSTREAM option to create an empty stream automatically."
        )
    last = None if start == b"$" else parse_id(start, 0)
    stream = data.make(key, Stream)
    assert stream is not None
    if name in stream.groups:
        raise Refused("BUSYGROUP Consumer Group name already exists")
    stream.groups[name] = Group(stream.last if last is None else last)
    return True


def _xack(data: Any, _: int, key: bytes, name: bytes, *ids: bytes) -> int:
    stream: Stream | None = data.get(key, Stream)
    group = stream.groups.get(name) if stream else None
    parsed = [parse_id(each, 0) for each in ids]
    if group is None:
        return 0
    gone = sum(group.pending.pop(each, None) is not None for each in parsed)
    if gone:
        data.touched.add(key)
    return gone


def _xautoclaim(
    data: Any, now: int, key: bytes, name: bytes, consumer: bytes, idle: bytes, start: bytes, *options: bytes
) -> list[Any]:
    least, after = number(idle), _range_id(start, 0)
    count = 100 if not options else (_count(options) or 100)
    stream: Stream | None = data.get(key, Stream)
    group = stream.groups.get(name) if stream else None
    if stream is None or group is None:
        raise Refused(f"NOGROUP No such key '{key.decode()}' or consumer group '{name.decode()}'")
    claimed: list[Any] = []
    gone: list[bytes] = []
    attempts = count * 10
    ids = sorted(each for each in group.pending if each >= after)
    while ids and attempts and count:
        attempts -= 1
        each = ids.pop(0)
        entry = stream.between(each, each)
        if not entry:
            del group.pending[each]
            gone.append(show_id(each))
            count -= 1
        elif now - group.pending[each].at_ms >= least:
            group.pending[each] = Pending(consumer, now, group.pending[each].times + 1)
            group.consumers.add(consumer)
            claimed += _show(entry)
            count -= 1
    data.touched.add(key)
    return [show_id(ids[0]) if ids else b"0-0", claimed, gone]


def _xinfo(data: Any, _: int, word: bytes, key: bytes) -> object:
    stream: Stream | None = data.get(key, Stream)
    if stream is None:
        raise Refused("ERR no such key")
    if word.upper() == b"GROUPS":
        return [_group_info(stream, *each) for each in sorted(stream.groups.items())]
    nodes = -(-len(stream.entries) // NODE)
    return {
        b"length": len(stream.entries),
        b"radix-tree-keys": nodes,
        b"radix-tree-nodes": nodes + 1,
        b"last-generated-id": show_id(stream.last),
        b"max-deleted-entry-id": b"0-0",
        b"entries-added": stream.added,
        b"recorded-first-entry-id": show_id(stream.entries[0][0] if stream.entries else (0, 0)),
        b"groups": len(stream.groups),
        b"first-entry": _show(stream.entries[:1])[0] if stream.entries else None,
        b"last-entry": _show(stream.entries[-1:])[0] if stream.entries else None,
    }


def _group_info(stream: Stream, name: bytes, group: Group) -> dict[bytes, Any]:
    read = stream.count_up_to(group.last) if group.read is None else group.read
    return {
        b"name": name,
        b"consumers": len(group.consumers),
        b"pending": len(group.pending),
        b"last-delivered-id": show_id(group.last),
        b"entries-read": group.read,
        b"lag": 0 if not stream.added else None if read is None else stream.added - read,
    }


Command = Callable[..., Any]
STREAM_COMMANDS: dict[bytes, tuple[Command, int, str]] = {
    b"XADD": (_xadd, -5, "wm"),
    b"XTRIM": (_xtrim, -4, "w"),
    b"XLEN": (_xlen, 2, ""),
    b"XRANGE": (_xrange, -4, ""),
    b"XREVRANGE": (_xrevrange, -4, ""),
    b"XREAD": (_xread, -4, "b"),
    b"XREADGROUP": (_xreadgroup, -7, "wb"),
    b"XGROUP": (_xgroup, -2, "wm"),
    b"XACK": (_xack, -4, "w"),
    b"XAUTOCLAIM": (_xautoclaim, -6, "w"),
    b"XINFO": (_xinfo, -2, ""),
}
