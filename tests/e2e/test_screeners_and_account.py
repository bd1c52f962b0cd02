"""Screeners and account activity as a user meets them: settings in, events out, account numbers nowhere."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from schwabstream.events import AccountEvent, ScreenerEvent, parse_event
from schwabstream.recording.reader import Recording
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.waiting import until

COMMAND = str(Path(sys.executable).with_name("schwabstream"))
SETTINGS = {"SCHWAB_SCREENERS": "NYSE_VOLUME_5,option_all_trades_60", "SCHWAB_ACCOUNT_ACTIVITY": "true"}


async def test_a_subscriber_of_redis_receives_screeners_and_account_activity(redis_server: RedisServer) -> None:
    """Both settings put events on their channels and streams, and --json writes the same events as lines."""
    client: Any = redis_server.client
    pubsub = client.pubsub()
    pubsub.subscribe("market_data:screeners", "market_data:account")
    run = await asyncio.create_subprocess_exec(
        *(COMMAND, "stream", "run", "--simulate", "--symbols", "AAPL", "--json", "--redis", redis_server.url),
        *("--duration", "8"),
        env={**os.environ, **SETTINGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await run.communicate()
    assert run.returncode == 0, err.decode()
    heard: dict[str, list[Any]] = {"market_data:screeners": [], "market_data:account": []}
    while message := pubsub.get_message():
        if message["type"] == "message":
            heard[message["channel"]].append(parse_event(message["data"]))
    screeners, account = heard.values()
    assert all(isinstance(each, ScreenerEvent) for each in screeners)
    assert {each.symbol for each in screeners} == {"NYSE_VOLUME_5", "OPTION_ALL_TRADES_60"}
    assert all(len(each.items) == 10 for each in screeners)
    assert all(isinstance(each, AccountEvent) for each in account)
    assert [each.message_type for each in account][:2] == ["SUBSCRIBED", "OrderCreated"]
    assert {each.symbol for each in account} == {"****4185"}
    for name, events in (("screeners", screeners), ("account", account)):
        stream: Any = client.xrange(f"market_data:stream:{name}")
        assert [parse_event(fields["event"]) for _, fields in stream] == events
        kind = events[0].type
        assert [parse_event(line) for line in out.splitlines() if f'"type":"{kind}"'.encode() in line] == events


async def test_without_the_settings_neither_service_is_subscribed(redis_server: RedisServer) -> None:
    """Account activity is opt-in: a run without the settings leaves no trace of either channel."""
    run = await asyncio.create_subprocess_exec(
        *(COMMAND, "stream", "run", "--simulate", "--symbols", "AAPL", "--redis", redis_server.url, "--duration", "2"),
        stderr=subprocess.PIPE,
    )
    _, err = await run.communicate()
    assert run.returncode == 0, err.decode()
    names: Any = redis_server.client.keys("*")
    assert not [name for name in names if name.endswith(("screeners", "account"))]


@pytest.mark.parametrize("command", [("stream", "run", "--simulate"), ("doctor", "--simulate")])
def test_a_wrong_screener_is_refused_before_connecting_with_what_exists(command: tuple[str, ...], clean: Path) -> None:
    """Exit code 2, one line that names the setting and Schwab's prefixes, sorts and frequencies."""
    del clean
    environment = {**os.environ, "SCHWAB_SCREENERS": "NYSE_VOLUME_5,NYSE_SIZE_5"}
    done = subprocess.run([COMMAND, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    text = " ".join((done.stdout + done.stderr).split())
    assert "SCHWAB_SCREENERS: name 2 is not a screener" in text
    assert "Traceback" not in text


def frames(chance: random.Random, numbers: list[str]) -> Iterator[str]:
    """Frames, answers and broken frames of Schwab with a new account number in each field."""

    def plant() -> str:
        numbers.append(str(chance.randint(10**7, 10 ** chance.randint(8, 11))))
        return numbers[-1]

    for turn in range(750):
        account = plant()
        inner = {
            f"of {plant()}": plant(),
            "AccountNumber": account,
            "Hash": (plant() + "AF") * 8,
            "Number": int(plant()),
        }
        data = {"SchwabOrderID": account, "Text": json.dumps(inner), "List": [plant(), int(account)], **inner}
        data |= {"Price": {"lo": account, "signScale": 12}, "Split": f"{account[:4]}-{account[4:]}", "Note": plant()}
        entry = {
            "seq": turn,
            "key": plant(),
            "1": account,
            "2": f"Order {plant()}",
            "3": json.dumps(data),
            "9": plant(),
        }
        service = {"service": "ACCT_ACTIVITY", "command": "SUBS"}
        whole = json.dumps({"data": [service | {"timestamp": 1, "content": [entry]}]})
        yield whole
        yield whole[: chance.randint(60, 180)]
        yield json.dumps({"data": [service | {"content": {"1": plant()}}]})
        yield json.dumps({"data": [service | {"content": [{"1": plant()}]}], "extra": plant()})
        answer = {"content": {"code": 0, "msg": f"account {plant()}"}, "requestid": str(turn)}
        yield json.dumps({"response": [service | answer]})
        yield json.dumps({"notify": [{"service": "ADMIN", "content": {"code": 77, "msg": plant()}}]})


async def test_none_of_10000_account_numbers_leaves_the_program(
    simulator: SchwabSimulator, redis_server: RedisServer, pointed: dict[str, str], clean: Path
) -> None:
    """Numbers in every field, answer and broken frame are in no output, log line, recording, Redis value or status."""
    simulator.faults.unanswered = {"SCREENER_EQUITY"}
    run = await asyncio.create_subprocess_exec(
        *(COMMAND, "stream", "run", "-vv", "--symbols", "AAPL", "--json", "--record", "account.schwab"),
        env=os.environ | SETTINGS | pointed,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    reading = asyncio.create_task(run.communicate())
    await until(lambda: simulator.received.sent("SCREENER_EQUITY", "SUBS"))
    numbers = ["70124199"]
    (asked,) = simulator.received.sent("SCREENER_EQUITY", "SUBS")
    refusal = {"code": 11, "msg": f"not available to {numbers[0]}"}
    answer = {name: asked[name] for name in ("service", "command", "requestid")} | {"content": refusal}
    simulator.push_frame(json.dumps({"response": [answer]}))
    await until(lambda: simulator.subscribed("ACCT_ACTIVITY"))
    for frame in frames(random.Random(14), numbers):
        simulator.push_frame(frame)
        await asyncio.sleep(0)
    client: Any = redis_server.client
    await until(lambda: client.xlen("market_data:stream:account") >= 750)
    run.terminate()
    out, err = await reading
    assert run.returncode == 0, err.decode()[-2000:]
    assert len(numbers) >= 10_000
    with Recording(clean / "account.schwab") as recording:
        recorded = "\n".join(str(item) for item in recording.items())
    values = [*client.xrange("market_data:stream:account"), *client.xrange("market_data:stream:status")]
    shown = {"stdout": out.decode(), "stderr": err.decode(), "recording": recorded, "redis": str(values)}
    shown["report"] = str(client.get("market_data:streamer"))
    assert "not available to ****4199" in shown["redis"]
    assert shown["redis"].count("****") > 1_000
    assert orjson.loads(out.splitlines()[0])["v"] == 1
    for name, text in shown.items():
        runs = set(re.findall("[0-9]{8,}", text)) | set(re.findall("[0-9]{8,}", text.replace("-", "")))
        assert [number for number in numbers if number in runs] == [], name
        assert [number for number in numbers if f"{number}AF{number}" in text] == [], name
