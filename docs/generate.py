"""Writes what the documentation takes from the code: tables, JSON Schemas, AsyncAPI, diagrams, .env.back, llms.txt.

``python docs/generate.py`` fills the regions between ``<!-- generated: NAME -->`` and ``<!-- end -->`` in the pages and
writes the other files whole. A test compares the committed files with :func:`generate`. Fields and settings are
described where they are declared; states and exit codes in meanings.toml.
"""  # noqa: INP001 - a script, not part of the package

import inspect
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
import yaml
from pydantic import BaseModel, TypeAdapter

import schwabstream
from schwabstream import consumer, errors, events, simulator
from schwabstream.cli import app, pages
from schwabstream.commands import login
from schwabstream.commands.doctor.findings import Diagnosis, Finding
from schwabstream.errors import SchwabStreamError
from schwabstream.events import (
    SYMBOL_CHANNELS,
    VERSION,
    AccountEvent,
    BarEvent,
    Event,
    InstrumentEvent,
    Level,
    Level2Event,
    ScreenerEvent,
    ScreenerItem,
    StatusEvent,
    TickEvent,
    Venue,
)
from schwabstream.protocol import session
from schwabstream.publishing import life as publisher
from schwabstream.report import REPORT_LIFE_S, StreamerReport
from schwabstream.settings import Settings
from schwabstream.streaming import status
from schwabstream.terminal.symbol_list import ListedSymbol

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REGION = re.compile(r"(<!-- generated: ([\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WORDS = tomllib.loads((DOCS / "meanings.toml").read_text(encoding="utf-8"))

EVENTS: dict[str, type[BaseModel]] = {
    "ticks": TickEvent,
    "level2": Level2Event,
    "bars": BarEvent,
    "status": StatusEvent,
    "screeners": ScreenerEvent,
    "account": AccountEvent,
}
SCHEMAS: dict[str, type[BaseModel]] = {
    **{re.sub("Event$", "", model.__name__).lower(): model for model in EVENTS.values()},
    "instrument": InstrumentEvent,
    "streamer": StreamerReport,
}
LAST_VALUES = ("ticks", "level2")
PUBLIC: tuple[ModuleType, ...] = (schwabstream, consumer, events, errors, simulator)
SCHEMA_FORMAT = "application/schema+json;version=draft-07"

# What each command with --json writes: the schema of each line.
JSON_OUTPUT: dict[str, str] = {
    "auth login": "output/auth-login",
    "auth refresh": "output/auth-refresh",
    "auth status": "output/auth-status",
    "auth logout": "output/auth-logout",
    "stream run": "output/event",
    "stream replay": "output/event",
    "stream list": "output/stream-list",
    "quote": "tick",
    "book": "level2",
    "status": "output/status",
    "doctor": "output/doctor",
}
_V = {"v": {"const": 1, "description": "Version of the output format: 1.", "type": "integer"}}

# The settings under the headings of .env.back and of the settings page.
SETTINGS: dict[str, str] = {
    "Schwab": """schwab_client_id schwab_client_secret schwab_callback_url schwab_token_path schwab_token_key
        schwab_refresh_token schwab_refresh_interval_s schwab_persist_refresh_to_env schwab_env_back_path
        schwab_api_base_url""",
    "What to stream": """schwab_symbols tastytrade_symbol_list schwab_max_symbols schwab_screeners
        schwab_account_activity schwab_heartbeat_timeout_s schwab_tick_keepalive_s""",
    "Redis": """redis_url schwab_redis_prefix schwab_redis_symbol_channels schwab_redis_stream_maxlen
        schwab_redis_stream_maxage_s schwab_redis_buffer_events schwab_redis_buffer_mb""",
    "Operation": "schwab_alert_command schwab_metrics_port schwab_log_format",
}


def generate() -> dict[Path, str]:
    """Every file that holds something generated, with the text it should have."""
    schemas = {name: schema(model) for name, model in SCHEMAS.items()} | output_schemas()
    files = {DOCS / "schema" / f"{name}.json": _json(content) for name, content in schemas.items()}
    files[DOCS / "asyncapi.yaml"] = asyncapi()
    files[DOCS / "llms.txt"] = "".join(f"{line}\n" for line in llms())
    files[ROOT / ".env.back"] = "".join(f"{line}\n" for line in env_back())
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        if REGION.search(text):
            files[page] = REGION.sub(lambda found: f"{found[1]}{region(found[2])}{found[3]}", text)
    return files


def region(name: str) -> str:
    """The text of one region."""
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "commands": commands,
        "settings": settings,
        "exit-codes": exit_codes,
        "channels": channels,
        "session": partial(life, session.TRANSITIONS),
        "publisher": partial(life, publisher.TRANSITIONS),
        "streamer": partial(life, status.TRANSITIONS),
        "decisions": decisions,
        "json-output": json_output,
        **{each.__name__: partial(public_names, each) for each in PUBLIC},
        **{
            model.__name__: partial(fields, model)
            for model in (*EVENTS.values(), InstrumentEvent, Level, Venue, ScreenerItem)
        },
        "states": states,
    }
    # Docstrings mark code as reStructuredText does.
    return re.sub("(?<!`)``(?!`)", "`", "\n".join(["", *makers[name](), "", ""]))


def row(*cells: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def table(*names: str) -> list[str]:
    """The head of a table."""
    return [row(*names), "|" + "---|" * len(names)]


def commands() -> Iterator[str]:
    """Every command with its options and examples, from the parser itself, in the order of the help."""
    found = list(leaves(typer.main.get_command(app), "schwabstream"))
    yield from table("command", "does")
    for words, command in found:
        yield row(f"[`{words}`](#{words.replace(' ', '-')})", pages.summary(command))
    for words, command in found:
        yield f"\n## {words}\n\n{command.help.strip()}\n\n    {' '.join([words, *pages.usage(command)])}\n"
        yield from table("option", "default", "does")
        for each in itertools.chain(*pages.parameters_of(command.params).values()):
            value = pages.default(each)
            shown = value if value in ("", "required") else f"`{value}`"
            yield row(", ".join(f"`{name}`" for name in pages.names(each)), shown, str(each.help))
        yield "\nFor example:\n\n" + "\n".join(f"    {line}" for line in command.epilog.splitlines())


def leaves(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """The commands that do something, by name."""
    for child in itertools.chain(*pages.commands_of(command).values()):
        if hasattr(child, "commands"):
            yield from leaves(child, f"{words} {child.name}")
        else:
            yield f"{words} {child.name}", child


def sections() -> Iterator[tuple[str, list[tuple[str, str, object]]]]:
    """The settings by heading: variable, description and default."""
    fields = dict(Settings.model_fields)
    for heading, names in SETTINGS.items():
        found = {name: fields.pop(name) for name in names.split()}
        yield (
            heading,
            [
                (name.upper(), str(field.description), field.get_default(call_default_factory=True))
                for name, field in found.items()
            ],
        )
    if fields:
        raise SystemExit(f"SETTINGS in docs/generate.py does not name {', '.join(fields)}")


def settings() -> Iterator[str]:
    """Every variable with its default and its meaning."""
    for heading, variables in sections():
        yield f"\n## {heading}\n"
        yield from table("variable", "default", "meaning")
        for name, meaning, value in variables:
            yield row(f"`{name}`", f"`{written(value)}`" if written(value) else "unset", meaning)


def env_back() -> Iterator[str]:
    """The template of settings: each variable with its default, commented out where it has none."""
    yield "# Settings of schwabstream: a template with the defaults. Generated by docs/generate.py."
    yield "#"
    yield "# Copy what you need into .env (never committed, never written by schwabstream) or into the environment."
    yield "# Order: command-line options, environment, .env, this file, defaults. An empty value counts as unset."
    yield "# This file is under version control: put no secret into it."
    for heading, variables in sections():
        yield f"\n# --- {heading} ".ljust(121, "-")
        for name, meaning, value in variables:
            # One sentence a line, so that a command in it can be copied.
            yield from (f"# {sentence}" for sentence in re.split(r"(?<=[.]) (?=[A-Z])", meaning))
            yield f"{name}={written(value)}" if written(value) else f"# {name}="


def written(value: object) -> str:
    """A default as it would be written in a file; empty when there is none."""
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def exit_codes() -> Iterator[str]:
    """Every exit code, from the tree of errors."""
    kinds: dict[int, list[type[SchwabStreamError]]] = {}
    for kind in tree(SchwabStreamError):
        kinds.setdefault(kind.exit_code, []).append(kind)
    yield from table("code", "meaning", "raised as", "what to do")
    yield row(
        "0",
        "Success. Ctrl-C, SIGTERM and SIGHUP also end a run with 0, once everything is written.",
        "",
        "",
    )
    for code, several in sorted(kinds.items()):
        meaning = "An unexpected error, or output that cannot be written." if code == 1 else summary(several[0])
        names = ", ".join(f"`{kind.__name__}`" for kind in several)
        yield row(str(code), meaning, names, WORDS["exit_codes"][str(code)])
    yield row("130", "A second Ctrl-C ended the command at once.", "", "")


def tree(kind: type[SchwabStreamError]) -> Iterator[type[SchwabStreamError]]:
    """A class and all below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def summary(kind: type) -> str:
    """The first line of a docstring."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


def channels() -> Iterator[str]:
    """Every name in Redis."""
    yield from table("name in Redis, with the default prefix", "kind", "holds")
    for name, model in EVENTS.items():
        yield row(f"`market_data:{name}`", "pub/sub", f"one {model.__name__} per message")
    for name, model in EVENTS.items():
        if name in SYMBOL_CHANNELS:
            yield row(f"`market_data:{name}:SYMBOL`", "pub/sub", f"one {model.__name__} of that symbol per message")
    for name in LAST_VALUES:
        yield row(
            f"`market_data:last:{name}`",
            "hash, symbol → event",
            "the last event of each symbol",
        )
    yield row("`market_data:instruments`", "hash, symbol → event", "the newest InstrumentEvent of each symbol")
    for name in EVENTS:
        yield row(
            f"`market_data:stream:{name}`",
            "stream, fields `symbol`, `event`",
            "the newest events, as many as the limit allows",
        )
    yield row("`market_data:streamer`", f"string, expires in {REPORT_LIFE_S} s", "the report of the running streamer")
    yield row(
        "`market_data:wanted`", "sorted set, symbol with expiry", "symbols to stream in addition to the configured ones"
    )


def fields(model: type[BaseModel]) -> Iterator[str]:
    """The fields of one model."""
    properties = schema(model)["properties"]
    yield from table("field", "type", "meaning")
    for name, field in model.model_fields.items():
        yield row(f"`{name}`", type_of(properties[name]), str(field.description))


def states() -> Iterator[str]:
    """The states of a StatusEvent."""
    yield from table("state", "meaning")
    yield from (row(f"`{name}`", meaning) for name, meaning in WORDS["states"].items())


def public_names(module: ModuleType) -> Iterator[str]:
    """The public names of a module that have a docstring of their own."""
    yield from table("name", "what it is")
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if isinstance(value, type) or inspect.isfunction(value):
            yield row(f"`{name}`", summary(value))


def json_output() -> Iterator[str]:
    """Each command with --json and the schema of its lines."""
    yield from table("command", "each line", "JSON Schema")
    contents = {name: schema(model) for name, model in SCHEMAS.items()} | output_schemas()
    for words, name in JSON_OUTPUT.items():
        file = f"{name.rpartition('/')[2]}.json"
        yield row(f"`schwabstream {words}`", contents[name]["description"], f"[{file}](../schema/{name}.json)")


def type_of(definition: dict[str, Any]) -> str:
    """A field's type as people say it."""
    if "anyOf" in definition:
        return " or ".join(type_of(each) for each in definition["anyOf"])
    if "const" in definition:
        return f"`{json.dumps(definition['const'])}`"
    if "type" not in definition:
        return "any JSON"
    names = {"string": "text", "array": "list", "boolean": "true or false"}
    return names.get(definition["type"], str(definition["type"]))


def schema(model: Any) -> dict[str, Any]:
    """A model, a union of models or a dataclass as JSON Schema draft 7, the dialect that most tools read."""
    found = TypeAdapter(model).json_schema(ref_template="#/definitions/{model}")
    definitions = found.pop("$defs", {})
    for part in (found, *definitions.values()):
        part.pop("title", None)
        _tidy(part)
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": model.__name__ if isinstance(model, type) else "Event",
    }
    return {**head, **found, **({"definitions": definitions} if definitions else {})}


def _tidy(part: dict[str, Any]) -> None:
    """Plain descriptions without titles; ``v`` and ``type`` are always there though a model has defaults for them."""
    properties = part.get("properties", {})
    for each in (part, *properties.values()):
        if "description" in each:
            each["description"] = " ".join(each["description"].replace("`", "").split())
    for definition in properties.values():
        definition.pop("title", None)
    if properties:
        always = [name for name in ("v", "type") if name in properties]
        part["required"] = list(dict.fromkeys((*always, *part.get("required", []))))


def output_schemas() -> dict[str, dict[str, Any]]:
    """What commands with --json write beside events."""
    for kind in (login.LoginState, *login.Report.__args__, Diagnosis, Finding):
        kind.__pydantic_config__ = {"use_attribute_docstrings": True}
    reports = {
        f"output/auth-{report.__name__.removesuffix('Report').lower()}": report for report in login.Report.__args__
    }
    found = {name: _flat(schema(report)) for name, report in reports.items()}
    found["output/doctor"] = _with(
        schema(Diagnosis),
        version={"description": "Version of schwabstream.", "type": "string"},
        exit_code={"description": "Exit code of the command: that of the first failure, or 0.", "type": "integer"},
    )
    report = _with(
        schema(StreamerReport),
        healthy={"description": "Whether every symbol is streamed and written.", "type": "boolean"},
    )
    report["description"] = "The report of the running streamer; without one, only v and healthy."
    found["output/status"] = report | {"title": "Status", "required": ["v", "healthy"]}
    found["output/stream-list"] = schema(ListedSymbol)
    found["output/event"] = schema(Event) | {"description": "Any event; its field type names the kind."}
    return found


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """A report with the fields of its login state beside its own, as ``login.as_json`` writes it."""
    definitions = found.pop("definitions", {})
    if found["properties"].pop("state", None):
        state = definitions["LoginState"]
        found["properties"] = state["properties"] | found["properties"]
        found["required"] = [*state["required"], *(name for name in found["required"] if name != "state")]
    return _with(found)


def _with(found: dict[str, Any], **more: dict[str, Any]) -> dict[str, Any]:
    """The schema with these required fields too, and the version."""
    added = _V | more
    required = list(dict.fromkeys((*added, *found["required"])))
    return found | {"properties": added | found["properties"], "required": required}


def llms() -> Iterator[str]:
    """The documentation in the form of llmstxt.org: title, summary, and each page with its first sentence."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    yield f"# {project['site_name']}\n\n> {project['site_description']}"
    top = [entry for entry in project["nav"] if isinstance(next(iter(entry.values())), str)]
    groups = [{"Start": top}, *(entry for entry in project["nav"] if entry not in top)]
    for heading, entries in (next(iter(group.items())) for group in groups):
        yield f"\n## {heading}\n"
        for title, path in _pages(entries):
            yield f"- [{title}]({path}){_description(DOCS / path)}"
    yield "\n## Schemas\n"
    yield "- [AsyncAPI](asyncapi.yaml): Every channel, key and stream in Redis."
    for name, found in ({name: schema(model) for name, model in SCHEMAS.items()} | output_schemas()).items():
        yield f"- [{name}](schema/{name}.json): {found['description'].partition('. ')[0].removesuffix('.')}."


def _pages(entries: list[Any]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        for title, value in entry.items():
            if isinstance(value, str):
                yield title, value
            else:
                yield from _pages(value)


def _description(page: Path) -> str:
    """The first sentence of a page, without marks, after a colon; empty for a page without text."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
    first = next((each for each in paragraphs if re.match(r"[A-Z`*\[]", each)), "")
    sentence = re.split(r"(?<=[.:]) ", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", first))[0]
    return f": {sentence.rstrip(':.')}." if sentence else ""


def life(transitions: Mapping[Any, Mapping[Any, Any]]) -> Iterator[str]:
    """A life as Mermaid, from its transition table, whose first state is the one it begins with."""
    yield "```mermaid\nstateDiagram-v2"
    yield f"    [*] --> {next(iter(transitions)).name}"
    for state, exits in transitions.items():
        yield f"    {state.name}: {state.value}"
        yield from (f"    {state.name} --> {after.name}: {trigger}" for trigger, after in exits.items())
        if not exits:
            yield f"    {state.name} --> [*]"
    yield "```"


def decisions() -> Iterator[str]:
    """The decision records, by number."""
    for path in sorted((DOCS / "adr").glob("0*.md")):
        head = path.read_text(encoding="utf-8").partition("\n")[0]
        number, _, title = head.removeprefix("# ").partition(". ")
        yield f"{number}. [{title}]({path.name})"


def asyncapi() -> str:
    """Every name in Redis as AsyncAPI 3."""
    names = {model: name for name, model in SCHEMAS.items()}
    found = {name: _channel(name, names[model], "Redis pub/sub.") for name, model in EVENTS.items()}
    for name in sorted(SYMBOL_CHANNELS):
        one = _channel(f"{name}:{{symbol}}", names[EVENTS[name]], f"Redis pub/sub: the {name} of one symbol.")
        one["parameters"]["symbol"] = {"description": "The symbol of the events, such as AAPL or /MNQ:XCME."}
        found[f"{name}-symbol"] = one
    for name, model in EVENTS.items():
        found[f"stream-{name}"] = _channel(f"stream:{name}", "entry", f"Redis stream: the durable record of {name}.")
        if name in LAST_VALUES:
            found[f"last-{name}"] = _channel(f"last:{name}", names[model], "Redis hash, symbol to its newest event.")
    found["instruments"] = _channel("instruments", "instrument", "Redis hash, symbol to its newest event.")
    found["streamer"] = _channel("streamer", "streamer", f"Redis string that expires in {REPORT_LIFE_S} s.")
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "schwabstream",
            "version": f"{VERSION}.0.0",
            "description": "Schwab market data on Redis. The version is that of the events.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"redis": {"host": "127.0.0.1:6379", "protocol": "redis", "description": "REDIS_URL"}},
        "channels": found,
        "operations": {
            f"publish-{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}} for name in found
        },
        "components": {"messages": {**{name: _message(name) for name in SCHEMAS}, "entry": _ENTRY}},
    }
    head = "# Generated by docs/generate.py: change the code and run it again.\n"
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return head + text


_ENTRY = {
    "name": "StreamEntry",
    "summary": "An entry of a Redis stream; its field event holds the channel's event as JSON text.",
    "payload": {
        "type": "object",
        "required": ["symbol", "event"],
        "properties": {
            "symbol": {"type": "string"},
            "event": {"type": "string", "contentMediaType": "application/json"},
        },
    },
}


def _channel(address: str, message: str, description: str) -> dict[str, Any]:
    return {
        "address": f"{{prefix}}:{address}",
        "description": description,
        "parameters": {"prefix": {"default": "market_data", "description": "SCHWAB_REDIS_PREFIX"}},
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _message(name: str) -> dict[str, Any]:
    return {
        "name": SCHEMAS[name].__name__,
        "summary": summary(SCHEMAS[name]).replace("``", ""),
        "contentType": "application/json",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./schema/{name}.json"}},
    }


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write what is out of date."""
    for path, text in generate().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
