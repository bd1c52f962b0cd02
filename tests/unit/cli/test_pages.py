"""Help pages: what every command shows of itself, in the words of a person."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from schwabstream.cli import app, pages

VERBS = re.compile(
    "(Add|Also|Check|Choose|Compare|Forget|Install|Keep|List|Listen|Log|Open|Print|Read|Record|Refresh|Remove|Replace|Send|Serve|Set"
    "|Show|Start|Stop|Sort|Stream|Take|Use|Wait|Watch|Write) "
)
ROOT: Any = typer.main.get_command(app)


def every(command: Any = ROOT, words: tuple[str, ...] = ("schwabstream",)) -> Iterator[tuple[str, Any]]:
    """Every group and command, by its words."""
    yield " ".join(words), command
    for name, child in getattr(command, "commands", {}).items():
        yield from every(child, (*words, name))


COMMANDS = dict(every())


def page(words: str, width: int = 80) -> str:
    """The help page of a command."""
    settings: Any = {"help_option_names": pages.CONTEXT["help_option_names"], "terminal_width": width}
    return str(COMMANDS[words].get_help(typer.Context(COMMANDS[words], info_name=words, **settings)))


def parse(words: list[str]) -> None:
    """Let the parser read a command line, without running it."""
    command = ROOT
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("schwabstream", words, help_option_names=pages.CONTEXT["help_option_names"])


@pytest.mark.parametrize("words", COMMANDS)
def test_what_a_command_does_is_a_sentence_that_begins_with_a_verb(words: str) -> None:
    """A command and each of its options say what they do: a verb first, a full stop last."""
    command = COMMANDS[words]
    sentences = [pages.summary(command), *(str(each.help) for each in command.params)]
    assert [each for each in sentences if not VERBS.match(each) or not each.endswith(".")] == []


def test_a_command_that_reads_redis_names_it_as_a_source() -> None:
    """--redis is in the section of what a command reads, and among its output only where the command publishes."""
    sections = {
        words: each.rich_help_panel
        for words, command in COMMANDS.items()
        for each in command.params
        if "--redis" in each.opts
    }
    publishing = {"schwabstream stream run", "schwabstream stream replay"}
    assert {words for words, section in sections.items() if section == "Output"} == publishing
    assert {section for words, section in sections.items() if words not in publishing} == {"Source"}


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_page_has_no_types_of_python_and_fits(words: str, width: int) -> None:
    """No angle brackets, no ``list[…]``; no line is longer than the terminal."""
    text = page(words, width)
    assert not re.search(r"[<>{}]|list\[|PATH\b|INTEGER|TEXT", text)
    examples = set(COMMANDS[words].epilog.splitlines())
    assert max(len(line) for line in text.splitlines() if line.strip() not in examples) <= width


@pytest.mark.parametrize("words", COMMANDS)
def test_every_page_ends_with_examples_that_work(words: str) -> None:
    """Each command shows an example or more, and the parser accepts every one of them."""
    examples = COMMANDS[words].epilog.splitlines()
    assert examples
    assert page(words).endswith("".join(f"\n  {each}" for each in examples))
    for each in examples:
        program, *rest = shlex.split(each)
        assert program == "schwabstream"
        if "--help" not in rest:
            parse(rest)


def test_the_commands_come_in_the_order_of_use() -> None:
    """Log in, stream, watch, check, and the simulator last; each in its section."""
    shown = [(title, each.name) for title, some in pages.commands_of(ROOT).items() for each in some]
    assert [name for _, name in shown] == ["auth", "stream", "quote", "book", "status", "doctor", "simulate"]
    assert len({title for title, _ in shown}) == 4


@pytest.mark.parametrize("words", [words for words, command in COMMANDS.items() if not hasattr(command, "commands")])
def test_every_command_takes_the_same_short_options(words: str) -> None:
    """-v, -q and -h work behind every command."""
    text = page(words)
    for option in ("-v, --verbose", "-q, --quiet", "-h, --help"):
        assert f"\n  {option}" in text
    assert text.index("Options:") > max(text.find(f"\n{title}:") for title in ("Source", "Output", "Recording"))


@pytest.mark.parametrize(
    ("parameter", "spelled"),
    [("schwabstream quote", "[SYMBOL…]"), ("schwabstream book", "SYMBOL"), ("schwabstream simulate", "[FILE]")],
)
def test_an_argument_is_spelled_in_one_way(parameter: str, spelled: str) -> None:
    """The usage line and the section of the arguments use the same name; brackets mean that it may be left out."""
    text = page(parameter)
    assert text.startswith(f"Usage: {parameter} [OPTIONS] {spelled}\n")
    assert f"Arguments:\n  {spelled.strip('[]')}  " in text


def test_symbols_without_their_option_get_its_name() -> None:
    """``quote NVDA`` needs no option, so people write ``stream run NVDA``; other commands refuse words as before."""
    result = CliRunner().invoke(app, ["stream", "run", "NVDA", "A\x1b"])
    assert result.exit_code == 2
    assert result.output.endswith("stream run --symbols NVDA,A\\u001b\n")
    result = CliRunner().invoke(app, ["status", "NVDA"])
    assert result.exit_code == 2
    assert "unexpected extra argument" in result.output
