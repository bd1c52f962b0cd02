"""Help pages as plain text: usage, commands and options in sections, examples.

Typer's pages show Python types (``<list[Path]>``) and spell the same argument in three ways. docs/generate.py
builds the reference from the same functions.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from schwabstream.escapes import safe
from schwabstream.output import can_draw

Function = TypeVar("Function", bound=Callable[..., Any])
Sections = dict[str, list[Any]]

COMMAND_SECTIONS = ("Log in and stream", "Recordings", "Watch", "Check", "Test")
"""The order in which a newcomer needs the commands."""
LOGIN, RECORDINGS, WATCH, CHECK, TEST = COMMAND_SECTIONS
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def group(help_text: str, *examples: str, **settings: Any) -> typer.Typer:
    """A group of commands with pages of this kind."""
    epilog = "\n".join(examples)
    settings = {"cls": Group, **settings}
    return typer.Typer(rich_markup_mode=None, no_args_is_help=True, help=help_text, epilog=epilog, **settings)


def command(
    app: typer.Typer, *examples: str, section: str | None = None, name: str | None = None
) -> Callable[[Function], Function]:
    """Make a function a command of the group, with examples below its options; ``name`` replaces the function's."""
    return app.command(name, cls=Command, epilog="\n".join(examples), rich_help_panel=section)


def is_argument(parameter: Any) -> bool:
    """Whether a parameter is given without a name."""
    return not parameter.opts[0].startswith("-")


def names(parameter: Any) -> list[str]:
    """Every way to give a parameter, the short ones first."""
    if is_argument(parameter):
        return [str(parameter.metavar)]
    value = f" {parameter.metavar}" if parameter.metavar else ""
    given = sorted(parameter.opts, key=len)
    return [*given[:-1], f"{given[-1]}{value}", *parameter.secondary_opts]


def default(parameter: Any) -> str:
    """The default of a parameter, as text; empty without one."""
    if parameter.required:
        return "required"
    if parameter.secondary_opts:
        return str((parameter.opts if parameter.default else parameter.secondary_opts)[0])
    plain = parameter.default in (None, False) or getattr(parameter, "count", False)
    return "" if plain else str(parameter.default).removesuffix(".0")


def usage(found: Any) -> list[str]:
    """What may follow the name of a command."""
    arguments = [each.metavar if each.required else f"[{each.metavar}]" for each in found.params if is_argument(each)]
    return ["[OPTIONS]", *(["COMMAND"] if hasattr(found, "commands") else arguments)]


def summary(found: Any) -> str:
    """The first paragraph of a command's help."""
    return str(found.help).partition("\n\n")[0].replace("\n", " ")


def commands_of(found: Any) -> Sections:
    """The commands of a group, in the order in which they are shown; empty for a command."""
    commands = getattr(found, "commands", {}).values()
    ordered = sorted(commands, key=lambda each: COMMAND_SECTIONS.index(each.rich_help_panel or LOGIN))
    return _by_section(ordered, lambda each: each.rich_help_panel or "Commands")


def parameters_of(parameters: list[Any]) -> Sections:
    """Arguments, then the options of each section, then the rest."""
    ordered = sorted(parameters, key=lambda each: (not is_argument(each), each.rich_help_panel is None))
    return _by_section(ordered, lambda each: each.rich_help_panel or ("Arguments" if is_argument(each) else "Options"))


def _by_section(members: list[Any], section: Callable[[Any], str]) -> Sections:
    gathered: Sections = {}
    for each in members:
        gathered.setdefault(section(each), []).append(each)
    return gathered


def _explained(parameter: Any) -> tuple[str, str]:
    given, note = ", ".join(names(parameter)), default(parameter)
    if given.startswith("--"):
        given = f"    {given}"  # below the long names that have a short one before them
    return given, f"{parameter.help} [{note if note == 'required' else f'default: {note}'}]" if note else parameter.help


def _write(formatter: Any, rows: dict[str, list[tuple[str, str]]]) -> None:
    """Write the sections with the same columns in all of them."""
    width = max((len(name) for section in rows.values() for name, _ in section), default=0)
    for title, section in rows.items():
        with formatter.section(_heading(title)):
            formatter.write_dl([(name.ljust(width), text) for name, text in section])


def _heading(title: str) -> str:
    return typer.style(title, bold=True) if can_draw() else title


class _Page:
    """The parts of a page that differ from Click's."""

    epilog: str | None

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Arguments as a person writes them."""
        del ctx
        return usage(self)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands and options, section by section."""
        commands, parameters = commands_of(self), parameters_of(ctx.command.get_params(ctx))
        _write(formatter, {title: [(each.name, summary(each)) for each in some] for title, some in commands.items()})
        _write(formatter, {title: [_explained(each) for each in some] for title, some in parameters.items()})

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, one per line."""
        del ctx
        with formatter.section(_heading("Examples")):
            formatter.write("".join(f"  {line}\n" for line in (self.epilog or "").splitlines()))


class Command(_Page, TyperCommand):
    """A command with such a page."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; names ``--symbols`` to a user who gave symbols without it."""
        if not any("--symbols" in each.opts for each in self.params):
            return super().parse_args(ctx, args)
        ctx.allow_extra_args = True
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            ctx.fail(f"symbols follow --symbols: {ctx.command_path} --symbols {safe(','.join(extra))}")
        return extra


class Group(_Page, TyperGroup):
    """A group with such a page."""
