"""One consumer of a Redis consumer group: its unacknowledged entries, those of others, new ones, and the group itself.

Which entries a program gets, and when they are acknowledged, is decided in ``group_reader``.
"""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any

import structlog
from redis.exceptions import NoPermissionError, ResponseError

from schwabstream.broker.url import is_away
from schwabstream.consumer.repeats import Delivered
from schwabstream.consumer.streams.redis_stream import BLOCK_MS, Entry, Raw, RawEntry, RedisStream, seq_of
from schwabstream.consumer.streams.trimming import GroupInfo, GroupPosition, StreamInfo

log = structlog.get_logger(__name__)

Read = Raw | Entry | RawEntry


class Group:
    """The group ``name`` as its consumer ``consumer`` sees it; its methods raise redis-py's errors."""

    def __init__(self, stream: RedisStream, name: str, consumer: str, *, start: str, idle_ms: int, batch: int) -> None:
        self._stream, self._name, self._consumer = stream, name, consumer
        self._start, self._idle_ms, self._batch = start, idle_ms, batch
        self.delivered = Delivered()
        self._own_from: str | None = "0"
        self._claim_from, self._claim_at = "0-0", 0.0
        self._position: GroupPosition | None = None
        self._connections = 0
        self._start_seq: int | None = None

    async def open(self) -> None:
        """Create the group unless it exists, and read its position if this user may."""
        group = await self._create(self._start)
        if group is not None:
            with contextlib.suppress(NoPermissionError):
                before: Any = await self._stream.client.xrevrange(self._stream.key, max=group.last_id, count=1)
                self._start_seq = seq_of(before[0]) if before else 0

    async def acknowledge(self, ids: Collection[str]) -> None:
        """Mark these entries as done."""
        await self._stream.client.xack(self._stream.key, self._name, *ids)

    async def read(self) -> list[Read]:
        """The next entries, or reports of trimmed ones; waits a moment for some."""
        try:
            if self._connections != self._stream.connections:
                # The answer to the last read may be lost; so may acknowledgements, with the master.
                self._own_from, self._connections = "0", self._stream.connections
            if self._own_from is not None:
                return await self._read_own(self._own_from)
            return await self._claim() or await self._read_new()
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            await self._create(await self._resume_id())
            log.warning("the consumer group was missing: created again", group=self._name, stream=self._stream.key)
            return []

    async def _resume_id(self) -> str:
        """The id for a lost group: after the events that this consumer received, or where it started."""
        seq = self.delivered.resume_after()
        seq = self._start_seq if seq is None else seq
        with contextlib.suppress(NoPermissionError):
            return self._start if seq is None else await self._stream.place_of("0", seq)
        return self._start

    async def _create(self, start: str) -> GroupInfo | None:
        client, key = self._stream.client, self._stream.key
        try:
            await client.xgroup_create(key, self._name, id=start, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._position = None
        try:
            async with client.pipeline(transaction=True) as pipe:
                pipe.xinfo_stream(key)
                pipe.xinfo_groups(key)
                stream, group, _ = self._state_of(await pipe.execute())
        except (ResponseError, KeyError) as error:
            if isinstance(error, ResponseError) and is_away(error):
                raise
            why = "trimmed entries will not be reported: that needs Redis 7, and a user with +multi +exec +xinfo"
            log.warning(why, stream=key, reason=str(error))
            return None
        self._position = GroupPosition()
        if group is not None:
            self._position.start(stream, group)
        return group

    def _state_of(self, answers: list[Any]) -> tuple[StreamInfo, GroupInfo | None, list[Any]]:
        return StreamInfo.of(answers[0]), GroupInfo.of(answers[1], self._name), answers[2:]

    async def _read_own(self, position: str) -> list[Read]:
        """Entries that this consumer read before and did not acknowledge."""
        entries = await self._read_from(position)
        self._own_from = entries[-1][0].decode() if entries else None
        # A trimmed entry comes without fields.
        gone = [raw[0].decode() for raw in entries if not raw[1]]
        if gone:
            await self._stream.client.xack(self._stream.key, self._name, *gone)
        unread = [each for each in gone if not self.delivered.has_open(each)]
        return [*self._stream.unacknowledged(unread), *(raw for raw in entries if raw[1])]

    async def _claim(self) -> list[Read]:
        """Entries that another consumer has not acknowledged for ``idle_ms``; asks twice in that time."""
        now = asyncio.get_running_loop().time()
        if now < self._claim_at:
            return []
        answer: Any = await self._stream.client.xautoclaim(
            self._stream.key,
            self._name,
            self._consumer,
            self._idle_ms,
            start_id=self._claim_from,
            count=self._batch,
        )
        self._claim_from = answer[0].decode()
        if self._claim_from == "0-0":
            self._claim_at = now + self._idle_ms / 2000
        gone = [each.decode() for each in answer[2]] if len(answer) > 2 else []
        claimed = [raw for raw in answer[1] if raw[1]]
        self.delivered.deliver_again(raw[0].decode() for raw in claimed)
        return [*self._stream.unacknowledged(gone), *claimed]

    async def _read_new(self) -> list[Read]:
        """Entries that no consumer of the group has read; waits a moment for some."""
        if self._position is None:
            return list(await self._read_from(">", block=BLOCK_MS))
        client, key = self._stream.client, self._stream.key
        async with client.pipeline(transaction=True) as pipe:
            pipe.xinfo_stream(key)
            pipe.xinfo_groups(key)
            pipe.xreadgroup(self._name, self._consumer, {key: ">"}, count=self._batch)
            stream, group, answer = self._state_of(await pipe.execute())
        entries = list(answer[0][0][1]) if answer[0] else []
        if group is None:
            return list(entries)
        lost = self._position.advance(stream, group, [raw[0].decode() for raw in entries])
        if not entries:
            # Wait without reading: how much was trimmed before a read can only be learned together with that read.
            await self._stream.after(stream.last_id, 1)
        elif lost != 0:
            return [self._stream.unread(lost, group.last_id, entries[0][0].decode()), *entries]
        return list(entries)

    async def _read_from(self, position: str, *, block: int | None = None) -> list[Raw]:
        key = self._stream.key
        answer: Any = await self._stream.client.xreadgroup(
            self._name, self._consumer, {key: position}, count=self._batch, block=block
        )
        return list(answer[0][1]) if answer else []
