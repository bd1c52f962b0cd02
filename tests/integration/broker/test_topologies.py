"""The way to the master in each topology, and connections that follow it; the servers answer as a test decides."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError

from schwabstream.broker.client import RedisClient, address_of, connection_pool, redis_client
from schwabstream.broker.routes import NoRoute
from schwabstream.broker.url import Address, unavailable
from schwabstream.errors import RedisUnavailable
from tests.support.resp_server import Error, RespServer, Words, cluster_node, redis, sentinel

PREFIX = "market_data"
NOWHERE = Address("127.0.0.1", 1)


@pytest.fixture
def servers() -> Iterator[contextlib.ExitStack]:
    """Servers that end with the test: ``enter_context(RespServer(…))``."""
    with contextlib.ExitStack() as stack:
        yield stack


def sentinels_url(*sentinels: RespServer, options: str = "", name: str = "mymaster") -> str:
    """The URL of a master that these Sentinels name."""
    return f"redis+sentinel://{','.join(str(each.address) for each in sentinels)}/{name}{options}"


def cluster_url(*nodes: RespServer, options: str = "") -> str:
    """The URL of the Cluster with these nodes."""
    return f"redis+cluster://{','.join(str(each.address) for each in nodes)}{options}"


def client_of(url: str, *, reads: bool = False) -> RedisClient:
    """A client that fails soon."""
    return redis_client(url, PREFIX, timeout_s=2.0, reads=reads, decode_responses=True)


def pair(address: Address) -> list[str]:
    """How a Sentinel names an address."""
    return [address.host, str(address.port)]


def whole(*members: tuple[RespServer | Address, str]) -> list[Any]:
    """CLUSTER SLOTS of a Cluster whose first member owns every slot and the others are its replicas."""
    places = [(each.address if isinstance(each, RespServer) else each, identity) for each, identity in members]
    return [[0, 16383, *([place.host, place.port, identity] for place, identity in places)]]


async def failure(url: str, *, reads: bool = False) -> str:
    """The sentence for a command that fails."""
    async with client_of(url, reads=reads) as client:
        with pytest.raises(RedisConnectionError) as raised:
            await client.get("{market_data}:x")
    return str(unavailable(url, raised.value))


async def test_each_connection_asks_where_the_master_is(servers: contextlib.ExitStack) -> None:
    """After a failover the next connection leads to the new master, and the old one gets nothing more."""
    old, new = (servers.enter_context(RespServer(redis())) for _ in range(2))
    masters = [old.address]
    three = [servers.enter_context(RespServer(sentinel(lambda: pair(masters[-1])))) for _ in range(3)]
    async with client_of(sentinels_url(*three)) as client:
        await client.get("x")
        masters.append(new.address)
        await client.connection_pool.disconnect()
        await client.get("x")
        assert (old.count("GET"), new.count("GET")) == (1, 1)


async def test_questions_share_connections(servers: contextlib.ExitStack) -> None:
    """Asking every second opens no connection: each is kept, and closing the client closes it."""
    master = servers.enter_context(RespServer(redis()))
    one = servers.enter_context(RespServer(sentinel(lambda: pair(master.address))))
    async with client_of(sentinels_url(one)) as client:
        for _ in range(5):
            assert await client.route.find() == master.address
        assert one.count("SENTINEL", "GET-MASTER-ADDR-BY-NAME") == 5
        assert (one.connections, master.connections) == (1, 1)


async def test_a_kept_connection_may_have_ended(servers: contextlib.ExitStack) -> None:
    """A Sentinel that was restarted is asked on a new connection and counts."""
    master = servers.enter_context(RespServer(redis()))
    answer = sentinel(lambda: pair(master.address))
    asked = 0

    def hang_up(words: Words) -> Any:
        nonlocal asked
        if words[0] == "SENTINEL":
            asked += 1
            if asked == 4:
                raise ConnectionAbortedError
        return answer(words)

    one = servers.enter_context(RespServer(hang_up))
    async with client_of(sentinels_url(one)) as client:
        assert [await client.route.find() for _ in range(3)] == [master.address] * 3
    assert one.connections == 2


async def test_a_master_that_is_not_one_is_not_written_to(servers: contextlib.ExitStack) -> None:
    """Sentinels may name a node that has been demoted, or is not promoted yet: ROLE decides."""
    demoted = servers.enter_context(RespServer(redis(role=["slave", "127.0.0.1", 1, "connected", 0])))
    three = [servers.enter_context(RespServer(sentinel(lambda: pair(demoted.address)))) for _ in range(3)]
    sentence = await failure(sentinels_url(*three))
    assert f"name {demoted.address}, which is not a master now: wait" in sentence
    assert demoted.count("GET") == 0


async def test_without_the_right_to_ask_for_the_role(servers: contextlib.ExitStack) -> None:
    """HELLO, which no ACL can forbid, shows the role as well."""

    def without_role(words: Words, role: str = "master") -> Any:
        return Error("NOPERM no permission") if words[0] == "ROLE" else redis(role=[role])(words)

    master = servers.enter_context(RespServer(without_role))
    replica = servers.enter_context(RespServer(lambda words: without_role(words, "slave")))
    named = [master.address]
    one = servers.enter_context(RespServer(sentinel(lambda: pair(named[-1]))))
    async with client_of(sentinels_url(one)) as client:
        assert await client.route.find() == master.address
        named.append(replica.address)
        with pytest.raises(NoRoute, match="not a master"):
            await client.route.find()


async def test_a_route_knows_when_too_few_sentinels_answer(servers: contextlib.ExitStack) -> None:
    """All Sentinels count, not only those of the URL: without a majority no failover is possible, until it is back."""
    master = servers.enter_context(RespServer(redis()))
    names: list[Address] = []
    ended: list[int] = []

    def one_of_three(number: int) -> RespServer:
        def answer(words: Words) -> Any:
            if number in ended:
                raise ConnectionAbortedError
            others = [each for each in names if each != names[number]]
            if words == ["SENTINEL", "MYID"]:
                return f"{number:040x}"
            return sentinel(lambda: pair(master.address), others=others)(words)

        return servers.enter_context(RespServer(answer))

    three = [one_of_three(number) for number in range(3)]
    names += [each.address for each in three]
    obstacles = []
    async with client_of(sentinels_url(three[0])) as client:
        for gone in ([], [2], [1, 2], [], [0, 1], [0, 1, 2]):
            ended[:] = gone
            with contextlib.suppress(NoRoute):
                await client.route.find()
            obstacles.append(client.route.no_failover)
    two = "2 of 3 Sentinels do not answer"
    assert obstacles == [None, None, two, None, two, "3 of 3 Sentinels do not answer"]


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$-7\r\n",
        b"*3\r\n",
        7,
        "text",
        ["10.0.0.1"],
        ["10.0.0.1", "port"],
        [None, None],
        Error("ERR odd"),
    ],
    ids=repr,
)
async def test_rubbish_of_one_sentinel_changes_nothing(servers: contextlib.ExitStack, odd: Any) -> None:
    """What one of three answers in place of an address is not counted."""
    master = servers.enter_context(RespServer(redis()))
    two = [servers.enter_context(RespServer(sentinel(lambda: pair(master.address)))) for _ in range(2)]
    third = servers.enter_context(RespServer(lambda words: odd if words[0] == "SENTINEL" else NotImplemented))
    async with client_of(sentinels_url(third, *two)) as client:
        assert await client.route.find() == master.address


async def test_the_sentinels_have_a_login_of_their_own(servers: contextlib.ExitStack) -> None:
    """User and password of the URL go to the Redis, the two options to the Sentinels."""
    master = servers.enter_context(RespServer(redis()))
    one = servers.enter_context(RespServer(sentinel(lambda: pair(master.address))))
    options = "?sentinel_username=watcher&sentinel_password=w"
    async with client_of(f"redis+sentinel://app:a@{one.address}/mymaster{options}") as client:
        await client.get("x")
    assert {tuple(words[-3:]) for words in one.asked if "AUTH" in words} == {("AUTH", "watcher", "w")}
    assert {tuple(words[-3:]) for words in master.asked if "AUTH" in words} == {("AUTH", "app", "a")}


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ("NOAUTH Authentication required.", "does not accept the login: set sentinel_username and sentinel_password"),
        ("NOPERM no permission", "grant its user +sentinel|get-master-addr-by-name"),
    ],
)
async def test_a_sentinel_that_refuses(servers: contextlib.ExitStack, refusal: str, words: str) -> None:
    """The message names the Sentinel's login, not that of the Redis."""
    one = servers.enter_context(RespServer(lambda asked: Error(refusal) if asked[0] == "SENTINEL" else NotImplemented))
    sentence = await failure(sentinels_url(one))
    assert sentence.startswith(f"the Sentinel {one.address} ")
    assert words in sentence


async def test_a_redis_that_refuses_the_login(servers: contextlib.ExitStack) -> None:
    """A password that is wrong at one server only: the message names that server."""
    master = servers.enter_context(
        RespServer(lambda asked: Error("NOAUTH Authentication required.") if asked[0] == "ROLE" else NotImplemented)
    )
    one = servers.enter_context(RespServer(sentinel(lambda: pair(master.address))))
    node = servers.enter_context(RespServer(lambda _: Error("NOAUTH Authentication required.")))
    for url, who in ((sentinels_url(one), f"the master {master.address}"), (cluster_url(node), f"node {node.address}")):
        assert f"{who} does not accept the login: correct the user and password in REDIS_URL" in await failure(url)


async def test_a_master_that_is_away(servers: contextlib.ExitStack) -> None:
    """The message names it, why nothing replaces it, and what may be wrong with its address."""
    one = servers.enter_context(RespServer(sentinel(lambda: pair(NOWHERE))))
    sentence = await failure(sentinels_url(one))
    assert f"name {NOWHERE} as the master, but it does not answer (Connection refused)" in sentence
    assert "too few Sentinels agree to promote another node (NOQUORUM 1 usable Sentinels.)" in sentence
    assert sentence.endswith(
        "start it, or let it announce an address that can be reached from here (replica-announce-ip)"
    )


async def test_sentinels_that_disagree(servers: contextlib.ExitStack) -> None:
    """Where none has a majority, nothing is written anywhere."""
    masters = [servers.enter_context(RespServer(redis())) for _ in range(2)]
    two = [servers.enter_context(RespServer(sentinel(partial(pair, each.address)))) for each in masters]
    sentence = await failure(sentinels_url(*two))
    assert "the Sentinels name different masters (" in sentence
    assert [each.connections for each in masters] == [0, 0]


async def test_the_owner_of_the_slot_is_found_and_its_replica(servers: contextlib.ExitStack) -> None:
    """A writer is led to the master of the slot; a reader, when the URL asks for it, to a replica, with READONLY."""
    replica, owner = (servers.enter_context(RespServer(redis("cluster"))) for _ in range(2))
    named = whole((owner, "o"), (replica, "r"))
    role = ["master", 9, [[replica.address.host, str(replica.address.port), "9"]]]
    follows = ["slave", owner.address.host, owner.address.port, "connected", 9]
    owner.answer = cluster_node(lambda: named, "o", role)
    replica.answer = cluster_node(lambda: named, "r", follows)
    url = cluster_url(replica, options="?read_from=replica")
    async with client_of(url) as writer, client_of(url, reads=True) as reader:
        assert await writer.route.find() == owner.address
        assert await reader.route.find() == replica.address
        assert await reader.ping()
        assert (owner.count("READONLY"), replica.count("READONLY")) == (0, 1)
        follows[3] = "connect"
        assert await reader.route.find() == owner.address


async def test_a_reader_keeps_to_its_replica(servers: contextlib.ExitStack) -> None:
    """The route names the same replica while it follows the master, and then another one."""
    ends: list[list[Any]] = [["slave", "h", 1, "connected", 0], ["slave", "h", 1, "connected", 0]]
    replicas = [servers.enter_context(RespServer(redis(role=end))) for end in ends]
    role = ["master", 0, [[*pair(each.address), "0"] for each in replicas]]
    master = servers.enter_context(RespServer(redis(role=role)))
    one = servers.enter_context(RespServer(sentinel(lambda: pair(master.address))))
    async with client_of(sentinels_url(one, options="?read_from=replica"), reads=True) as client:
        (found,) = {await client.route.find() for _ in range(10)}
        first = [each.address for each in replicas].index(found)
        ends[first][3] = "connect"
        assert await client.route.find() == replicas[1 - first].address
        ends[1 - first][3] = "sync"
        assert await client.route.find() == master.address


async def test_a_reply_that_another_node_serves_closes_the_connection(servers: contextlib.ExitStack) -> None:
    """After MOVED the next command asks again, and goes to the node that owns the slot by then."""
    owners: list[RespServer] = []
    old = servers.enter_context(RespServer(cluster_node(lambda: whole((owners[-1], owners[-1].address.host)), "o")))
    new = servers.enter_context(RespServer(redis("cluster")))
    owners.append(old)
    async with client_of(cluster_url(old)) as client:
        with pytest.raises(MovedError):
            await client.get("{market_data}:x")
        owners.append(new)
        assert await client.get("{market_data}:x") is None
    assert new.count("GET") == 1


async def test_a_slot_without_an_owner(servers: contextlib.ExitStack) -> None:
    """A Cluster with a hole where the prefix is cannot serve it."""
    node = servers.enter_context(RespServer(cluster_node(lambda: [[0, 100, ["127.0.0.1", 7000, "n"]]], "n")))
    sentence = await failure(cluster_url(node))
    assert "names no owner of hash slot 10751: assign every slot to a node" in sentence


async def test_a_node_that_does_not_know_its_own_host(servers: contextlib.ExitStack) -> None:
    """Before Redis 7 a node that was never met names itself without a host, which is the one that was asked."""
    node = servers.enter_context(RespServer(cluster_node(lambda: [[0, 16383, ["", node.address.port, "n"]]], "n")))
    async with client_of(cluster_url(node)) as client:
        assert await client.route.find() == node.address


async def test_a_connection_shows_where_it_leads(servers: contextlib.ExitStack) -> None:
    """The address of an open connection is that of its server; without one there is none."""
    master = servers.enter_context(RespServer(redis()))
    one = servers.enter_context(RespServer(sentinel(lambda: pair(master.address))))
    for url, address in ((sentinels_url(one), master.address), (f"redis://{master.address}", master.address)):
        pool = connection_pool(url, PREFIX)
        connection = await pool.get_connection()
        assert address_of(connection) == address
        await connection.disconnect()
        assert address_of(connection) is None
        await pool.disconnect()
    assert address_of(None) is None


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
async def test_none_answers(kind: str) -> None:
    """The message names all that were asked, and the cause once."""
    url = f"redis+{kind}://127.0.0.1:1,[::1]:1" + ("/mymaster" if kind == "sentinel" else "")
    sentence = await failure(url)
    assert "answers (127.0.0.1:1, [::1]:1: Connection refused" in sentence or "Cannot assign" in sentence
    assert type(unavailable(url, RedisConnectionError())) is RedisUnavailable
