"""The troubles of the Redis schedules: each begins at one moment, and ends when its undo is called.

They happen to Redis, to the programs, and to the network between them. :class:`Play` notes which losses they excuse.
"""

import itertools
import random
from collections.abc import Callable

from tests.support.deployment import Deployment, StreamerProcess
from tests.support.redis_values import Data
from tests.support.virtual_link import Link
from tests.support.virtual_network import Process

Undo = Callable[[], None]
Begin = Callable[["Play"], Undo | None]


class Play:
    """One schedule: the deployment, the chance, and what excuses which loss."""

    def __init__(self, deployment: Deployment, rng: random.Random) -> None:
        self.deployment, self.rng = deployment, rng
        self.redis = deployment.redis
        self.lost_after: list[tuple[float, float]] = []
        self._named = itertools.count(1)

    @property
    def now(self) -> float:
        """The virtual time."""
        return self.deployment.loop.time()

    def some_streamer(self) -> StreamerProcess | None:
        """The leader, more often than not."""
        streamers = self.deployment.streamers
        leader = self.deployment.leader()
        if leader is not None and self.rng.random() < 0.7:
            return leader
        return streamers[self.rng.choice(sorted(streamers))] if streamers else None

    def some_process(self) -> Process:
        """A streamer's or a reader's process."""
        streamer = self.some_streamer()
        readers = [process for _, process in sorted(self.deployment.readers.items())]
        return self.rng.choice([streamer.process, *readers] if streamer else readers)

    def start_streamer(self, base: str) -> None:
        """Start a streamer in place of a killed one."""
        self.deployment.add_streamer(f"{base[0]}{next(self._named)}")


# -- troubles of Redis


def _stop(play: Play) -> Undo:
    play.redis.stop()
    return play.redis.start


def _empty(play: Play) -> Undo:
    play.redis.stop()

    def undo() -> None:
        play.lost_after.append((0.0, play.now))
        play.redis.stop()  # another trouble may have ended meanwhile, and started it
        play.redis.data = Data()
        if play.redis.behind is not None:
            play.redis.behind = Data()
        play.redis.start()

    return undo


def _fail_over(play: Play) -> Undo:
    """The replica falls behind; later it takes over."""
    began = play.now
    play.redis.cut_off_replica()

    def undo() -> None:
        play.lost_after.append((began, play.now))
        play.redis.fail_over()

    return undo


def _kill_master(play: Play) -> Undo:
    """The replica lacks the last moments, and takes over a few seconds after the master's death."""
    play.redis.cut_off_replica()
    began, loop = play.now, play.deployment.loop
    dies = loop.call_later(play.rng.uniform(0.0, 1.0), play.redis.stop)

    def undo() -> None:
        dies.cancel()
        play.lost_after.append((began, play.now))
        play.redis.stop()
        play.redis.fail_over()
        play.redis.start()

    return undo


def _freeze(play: Play) -> Undo:
    play.redis.frozen = True
    return play.redis.thaw


def _drop(play: Play) -> None:
    play.redis.drop_all()


def _cut_exec(play: Play) -> None:
    play.redis.cut_next_exec = True


def _refuse(error: str) -> Begin:
    def begin(play: Play) -> Undo:
        play.redis.refusal = error

        def undo() -> None:
            play.redis.refusal = None

        return undo

    return begin


# -- troubles of programs and of the network between them


def _kill(play: Play) -> Undo | None:
    streamer = play.some_streamer()
    if streamer is None:
        return None
    play.deployment.kill(streamer.name, silently=play.rng.random() < 0.3)
    return lambda: play.start_streamer(streamer.name)


def _pause(play: Play) -> Undo | None:
    process = play.some_process()
    if process.paused or not process.alive:
        return None
    process.pause()
    play.deployment.hinder(process.name)

    def undo() -> None:
        play.deployment.hinder(process.name)
        process.resume()

    return undo


def _hinder_link(change: Callable[[Link, random.Random], Undo], *, schwab: bool = False) -> Begin:
    def begin(play: Play) -> Undo:
        process = play.some_process()
        port = int(play.deployment.simulator.base_url.rpartition(":")[2]) if schwab else play.redis.port
        restore = change(process.link(port), play.rng)
        play.deployment.hinder(process.name)

        def undo() -> None:
            play.deployment.hinder(process.name)
            restore()

        return undo

    return begin


def _cut_off(link: Link, _: random.Random) -> Undo:
    link.refused = True
    link.cut()

    def undo() -> None:
        link.refused = False

    return undo


def _hold(link: Link, _: random.Random) -> Undo:
    link.held = True
    return link.release


def _slow(link: Link, rng: random.Random) -> Undo:
    link.latency_s = (0.0, rng.choice((0.01, 0.2, 1.0)))

    def undo() -> None:
        link.latency_s = (0.0, 0.0)

    return undo


def _reset(link: Link, _: random.Random) -> Undo:
    link.cut()
    return lambda: None


def _schwab_drops(play: Play) -> None:
    play.deployment.simulator.close_all()


TROUBLES: dict[str, Begin] = {
    "redis stops": _stop,
    "redis returns empty": _empty,
    "failover": _fail_over,
    "master killed": _kill_master,
    "redis freezes": _freeze,
    "redis drops": _drop,
    "cut after EXEC": _cut_exec,
    "READONLY": _refuse("READONLY You can't write against a read only replica."),
    "NOREPLICAS": _refuse("NOREPLICAS Not enough good replicas to write."),
    "OOM": _refuse("OOM command not allowed when used memory > 'maxmemory'."),
    "LOADING": _refuse("LOADING Redis is loading the dataset in memory"),
    "streamer killed": _kill,
    "paused": _pause,
    "cut off from redis": _hinder_link(_cut_off),
    "held from redis": _hinder_link(_hold),
    "slow to redis": _hinder_link(_slow),
    "reset to redis": _hinder_link(_reset),
    "held from schwab": _hinder_link(_hold, schwab=True),
    "schwab drops": _schwab_drops,
}
