"""What programs may import: the written list, described in the documentation, and cheap to import."""

import inspect
import pydoc
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import schwabstream
from schwabstream.events import BarEvent, InstrumentEvent, Level, Level2Event, StatusEvent, TickEvent, Venue
from schwabstream.report import LagReport, StreamerReport, SymbolReport
from schwabstream.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
PUBLIC = {
    "schwabstream": """BarEvent Channel GroupReader Level2Event StatusEvent TickEvent __version__ last read_stream
        subscribe""",
    "schwabstream.consumer": "Entry GroupReader LiveEvents RawEntry Subscription fetch_last last read_stream subscribe",
    "schwabstream.events": """AccountEvent BarEvent Channel Event InstrumentEvent Level Level2Event ScreenerEvent
        ScreenerItem StatusEvent StatusState
        TickEvent VERSION Venue parse_event""",
    "schwabstream.errors": """ConfigurationError Evicted LeaseLost LoginDenied LoginRequired OutputUnwritable
        ProtocolError RedisUnavailable RedisUnsuitable Refused SchwabStreamError SchwabUnavailable SessionLost
        SymbolError TokenFileError""",
    "schwabstream.simulator": "Faults SchwabSimulator Tape",
}
EVENTS = [TickEvent, Level2Event, BarEvent, InstrumentEvent, StatusEvent, Level, Venue]
TIMES = {"timestamp", "trade_time", "quote_time", "since", "lost_at", "restored_at", "time_ms", "received_us"}
SIZES = {"last_size", "bid_size", "ask_size", "total_volume", "size", "volume"}


def public() -> Iterator[tuple[Any, set[str]]]:
    """Each public module with the names that it promises."""
    for name, names in PUBLIC.items():
        yield import_module(name), set(names.split())


def test_public_names_are_the_written_list() -> None:
    """``__all__`` of each public module is the written list, and each name in it can be imported."""
    for module, names in public():
        assert set(module.__all__) == names, module.__name__
        assert len(module.__all__) == len(names)
        assert all(getattr(module, name) is not None for name in names)


def test_every_public_name_is_in_the_documentation() -> None:
    """The page of the Python interface names every public name in the section of its module."""
    sections = dict(
        re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
    for module, names in public():
        named = set(re.findall(r"`(\w+)`", sections[module.__name__]))
        assert names - {"__version__"} <= named, module.__name__


def test_every_public_name_has_a_docstring() -> None:
    """``help()`` explains each public class and function, and each public method of it."""
    for module, names in public():
        for name in names:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert value.__doc__, name


def test_an_unknown_name_is_an_error() -> None:
    """A name that does not exist is an ImportError, and ``dir()`` lists those that do."""
    with pytest.raises(ImportError, match="nonsense"):
        exec("from schwabstream import nonsense")
    assert set(schwabstream.__all__) <= set(dir(schwabstream))


@pytest.mark.parametrize("model", [*EVENTS, StreamerReport, SymbolReport, LagReport, Settings])
def test_every_field_has_its_meaning(model: type[BaseModel]) -> None:
    """Each field of the events, the report and the settings is described, in a sentence."""
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name}"
        assert field.description[0].isupper() or field.description[0] == "`", name
        assert re.search(r"[.)\"]$", field.description), name


@pytest.mark.parametrize("model", EVENTS)
def test_times_and_sizes_name_their_unit(model: type[BaseModel]) -> None:
    """The description of a time and of a size names its unit."""
    for name, field in model.model_fields.items():
        description = field.description or ""
        if name in TIMES:
            assert re.search(r"milliseconds|microseconds", description), name
        if name in SIZES:
            assert "shares" in description, name


@pytest.mark.parametrize("model", [TickEvent, Level2Event, BarEvent, InstrumentEvent, StatusEvent, StreamerReport])
def test_help_shows_every_field(model: type[BaseModel]) -> None:
    """``help()`` on a model shows the meaning and the unit of each field."""
    shown = pydoc.plain(pydoc.render_doc(model))
    for name, field in model.model_fields.items():
        assert f"{name}: {' '.join(str(field.description).split())}" in shown, name


@pytest.mark.parametrize("model", [TickEvent, Level2Event, BarEvent, InstrumentEvent, StatusEvent, StreamerReport])
def test_the_schema_of_a_model_describes_it_once(model: type[BaseModel]) -> None:
    """The JSON Schema of a model has the summary as its description and the meaning with each field."""
    schema = model.model_json_schema()
    assert "Fields:" not in schema["description"]
    assert all("description" in part for part in schema["properties"].values())
