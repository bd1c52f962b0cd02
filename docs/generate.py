"""Writes what the documentation takes from the code: reference tables, JSON Schemas, AsyncAPI, the state diagram.

``python docs/generate.py`` fills the regions between ``<!-- generated: NAME -->`` and ``<!-- end -->`` in the pages and
writes the schema files. A test holds the committed files to :func:`generate`. Words are in meanings.toml.
"""  # noqa: INP001 - a script, not part of the package

import itertools
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel

from schwabstream.cli import app, pages
from schwabstream.errors import SchwabStreamError
from schwabstream.events import VERSION, BarEvent, Level2Event, StatusEvent, TickEvent
from schwabstream.protocol import session
from schwabstream.publishing import life as publisher
from schwabstream.report import REPORT_LIFE_S, StreamerReport
from schwabstream.settings import Settings
from schwabstream.streaming import status

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REGION = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WORDS = tomllib.loads((DOCS / "meanings.toml").read_text(encoding="utf-8"))

EVENTS: dict[str, type[BaseModel]] = {
    "ticks": TickEvent,
    "level2": Level2Event,
    "bars": BarEvent,
    "status": StatusEvent,
}
SCHEMAS: dict[str, type[BaseModel]] = {
    **{re.sub("Event$", "", model.__name__).lower(): model for model in EVENTS.values()},
    "streamer": StreamerReport,
}
LAST_VALUES = ("ticks", "level2")
SCHEMA_FORMAT = "application/schema+json;version=draft-07"


def generate() -> dict[Path, str]:
    """Every file that holds something generated, with the text it should have."""
    files = {DOCS / "schema" / f"{name}.json": _json(schema(model)) for name, model in SCHEMAS.items()}
    files[DOCS / "asyncapi.yaml"] = asyncapi()
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
        **{model.__name__: partial(fields, model) for model in EVENTS.values()},
        "Level": lambda: meanings("field", "Level"),
        "Venue": lambda: meanings("field", "Venue"),
        "states": lambda: meanings("state", "states"),
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


def settings() -> Iterator[str]:
    """Every variable, its meaning from .env.back, its default from the code."""
    variables = {name.upper(): field for name, field in Settings.model_fields.items()}
    meaning: list[str] = []
    used = True
    for line in (ROOT / ".env.back").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"# --- (.+?) -+$", line):
            yield f"\n## {heading[1]}\n"
            yield from table("variable", "default", "meaning")
            used = True
        elif variable := re.match(r"(?:# )?([A-Z][A-Z0-9_]+)=", line):
            field = variables.pop(variable[1])
            yield row(f"`{variable[1]}`", shown(field.get_default(call_default_factory=True)), " ".join(meaning))
            used = True
        elif line.startswith("# "):
            meaning = [*([] if used else meaning), line.removeprefix("# ")]
            used = False
    if variables:
        raise SystemExit(f".env.back does not explain {', '.join(variables)}")


def shown(value: object) -> str:
    """A default as it would be written."""
    if value is None or value == []:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{','.join(value) if isinstance(value, list) else value}`"


def exit_codes() -> Iterator[str]:
    """Every exit code, from the tree of errors."""
    kinds: dict[int, list[type[SchwabStreamError]]] = {}
    for kind in tree(SchwabStreamError):
        kinds.setdefault(kind.exit_code, []).append(kind)
    yield from table("code", "meaning", "raised as", "what to do")
    yield row("0", "It did what was asked; also after Ctrl-C, SIGTERM or SIGHUP, once logged out and drained.", "", "")
    for code, several in sorted(kinds.items()):
        meaning = "Something unexpected, or output that cannot be written." if code == 1 else summary(several[0])
        names = ", ".join(f"`{kind.__name__}`" for kind in several)
        yield row(str(code), meaning, names, WORDS["exit_codes"][str(code)])
    yield row("130", "A second Ctrl-C: it stopped at once.", "", "")


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
        yield row(f"`market_data:{name}`", "pub/sub", f"one {model.__name__} a message")
    for name in LAST_VALUES:
        yield row(f"`market_data:last:{name}`", "hash, symbol → event", "the newest of each symbol, for late comers")
    for name in EVENTS:
        yield row(f"`market_data:stream:{name}`", "stream, fields `symbol`, `event`", "the durable record, trimmed")
    yield row("`market_data:streamer`", f"string, expires in {REPORT_LIFE_S} s", "the running streamer's own report")


def described(model: str) -> dict[str, str]:
    """What each field of a model means."""
    common: dict[str, str] = WORDS["common"] if model.endswith("Event") else {}
    return {**common, **WORDS.get(model, {})}


def fields(model: type[BaseModel]) -> Iterator[str]:
    """The table of one event."""
    properties = schema(model)["properties"]
    yield from table("field", "type", "meaning")
    for name, meaning in described(model.__name__).items():
        yield row(f"`{name}`", type_of(properties[name]), meaning)


def meanings(kind: str, section: str) -> Iterator[str]:
    """A section of meanings.toml as a table."""
    yield from table(kind, "meaning")
    yield from (row(f"`{name}`", meaning) for name, meaning in WORDS[section].items())


def type_of(definition: dict[str, Any]) -> str:
    """A field's type as people say it."""
    if "anyOf" in definition:
        return " or ".join(type_of(each) for each in definition["anyOf"])
    if "const" in definition:
        return f"`{json.dumps(definition['const'])}`"
    names = {"string": "text", "array": "list", "boolean": "true or false"}
    return names.get(definition["type"], str(definition["type"]))


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model as JSON Schema draft 7, the dialect that most tools read."""
    found = model.model_json_schema(ref_template="#/definitions/{model}")
    definitions = found.pop("$defs", {})
    for name, part in {model.__name__: found, **definitions}.items():
        del part["title"]
        part["description"] = part["description"].replace("``", "")
        for field, definition in part["properties"].items():
            definition.pop("title", None)
            if meaning := described(name).get(field):
                definition["description"] = meaning.replace("`", "")
    found["required"] = [*(name for name in ("v", "type") if name in found["properties"]), *found["required"]]
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": model.__name__}
    return {**head, **found, **({"definitions": definitions} if definitions else {})}


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
    for name, model in EVENTS.items():
        found[f"stream-{name}"] = _channel(f"stream:{name}", "entry", f"Redis stream: the durable record of {name}.")
        if name in LAST_VALUES:
            found[f"last-{name}"] = _channel(f"last:{name}", names[model], "Redis hash, symbol to its newest event.")
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
