"""Completion in bash, zsh and fish: the scripts, and the two options that show and install them.

Typer's scripts offer file names where no symbol fits, leave ``$SPX`` for the shell to expand, and lose apostrophes.
These ask the program in the same way, by the variables of Typer's script for fish, and leave the quoting to the shell.
Messages are hidden: they would appear in the middle of the line that is being typed.
"""

from pathlib import Path
from typing import Any, Final

import typer

from schwabstream.cli.pages import Group
from schwabstream.errors import ConfigurationError, OutputUnwritable
from schwabstream.output import show

_ASK: Final = "_SCHWABSTREAM_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args"

# A line is a value, a tab and its description. A value that ends in a blank means: no value, and no file names either.
# Bash splits words at : and =, and replaces only the last part; what it inserts is not quoted for it.
_BASH: Final = r"""_schwabstream_completion() {
    local line value head='' files=1
    local before=${COMP_LINE:0:COMP_POINT} word=$2
    before=${before##*[[:space:]]}
    [[ $before == *"$word" ]] && head=${before%"$word"}
    [[ $head == --*=* ]] && head=${head#*=}
    local quote=${COMP_WORDS[COMP_CWORD]:0:1}
    [[ $quote == [\'\"] ]] && head=''
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line ]] || continue
        files=
        value=${line%%$'\t'*}
        [[ $value == *' ' ]] && continue
        value=${value#"$head"}
        [[ $quote == \' ]] || value=${value//\$/\\\$}
        [[ $quote == [\'\"] ]] || value=${value// /\\ }
        COMPREPLY+=("$value")
    done < <(ASK _TYPER_COMPLETE_ARGS="${COMP_LINE:0:COMP_POINT}" "$1" 2>/dev/null)
    [[ $files ]] || compopt +o default 2>/dev/null
}
complete -o default -F _schwabstream_completion schwabstream
"""
_ZSH: Final = r"""#compdef schwabstream
_schwabstream_completion() {
    local line value text files=1
    local -a values
    for line in "${(@f)$(ASK _TYPER_COMPLETE_ARGS="${words[1,CURRENT]}" ${~words[1]} 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        files=
        value=${line%%$'\t'*}
        [[ $value == *' ' ]] && continue
        text=${line#$value} text=${text#$'\t'}
        values+=("${value//:/\\:}${text:+:$text}")
    done
    [[ -n $files ]] && { _files; return }
    [[ $PREFIX == --*=* ]] && compset -P '*='
    _describe value values
}
if [[ $funcstack[1] == _schwabstream ]]; then
    _schwabstream_completion "$@"
else
    compdef _schwabstream_completion schwabstream
fi
"""
_FISH: Final = r"""function __schwabstream_completion
    set -l word (commandline -ct)
    set -l lines (ASK _TYPER_COMPLETE_ARGS=(commandline -cp | string collect) \
        (commandline -opc)[1] 2>/dev/null | string match -v '')
    if test (count $lines) -eq 0
        __fish_complete_path $word
    else
        set -l option (string match -r -- '^--[^=]+=' $word)
        string match -rv '^[^\t]* (\t|$)' -- $lines | string replace -r '^' -- "$option"
    end
end
complete --command schwabstream --no-files --arguments '(__schwabstream_completion)'
"""
SCRIPTS: Final = {
    "bash": _BASH.replace("ASK", _ASK),
    "zsh": _ZSH.replace("ASK", _ASK),
    "fish": _FISH.replace("ASK", f"env {_ASK}"),
}
_FILES: Final = {
    "bash": ".bash_completions/schwabstream.sh",
    "zsh": ".zfunc/_schwabstream",
    "fish": ".config/fish/completions/schwabstream.fish",
}
_LOADED_BY: Final = {
    "bash": (".bashrc", "source ~/.bash_completions/schwabstream.sh"),
    "zsh": (".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
}
"""The line that loads the file, and where it belongs; fish loads it without one."""


class RootGroup(Group):
    """The root of the commands, whose options for completion use these scripts in place of Typer's."""

    def get_params(self, ctx: Any) -> Any:
        """The options, with our callbacks for the two that Typer adds."""
        parameters = super().get_params(ctx)
        for each in parameters:
            if each.name in _CALLBACKS:
                each.callback = _CALLBACKS[each.name]
        return parameters


def _show(context: Any, _parameter: Any, given: Any) -> None:
    if given and not context.resilient_parsing:
        show(SCRIPTS[_shell(given)].rstrip("\n"))
        raise typer.Exit


def _install(context: Any, _parameter: Any, given: Any) -> None:
    if given and not context.resilient_parsing:
        shell = _shell(given)
        try:
            path = install(shell, Path.home())
        except OSError as error:
            raise OutputUnwritable(f"completion is not installed ({error.strerror}: {error.filename})") from error
        show(f"completion for {shell} is installed in {path}: start a new shell to use it")
        raise typer.Exit


_CALLBACKS: Final = {"show_completion": _show, "install_completion": _install}


def install(shell: str, home: Path) -> Path:
    """Write the script where Typer would, in place of its own, and have the shell load it; returns its path."""
    path = home / _FILES[shell]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPTS[shell], encoding="utf-8")
    if shell in _LOADED_BY:
        name, line = _LOADED_BY[shell]
        startup = home / name
        # Appended to, never written anew: a full disk must not cost the user this file. Its encoding is unknown.
        before = startup.read_bytes() if startup.exists() else b""
        if line.encode() not in before and bytes(path) not in before:
            separator = b"" if not before or before.endswith(b"\n") else b"\n"
            with startup.open("ab") as file:
                file.write(separator + line.encode() + b"\n")
    return path


def _shell(given: object) -> str:
    """The shell that the command was started from, or the one that is given."""
    name = given if isinstance(given, str) else _detected()
    if name not in SCRIPTS:
        raise ConfigurationError("completion is for bash, zsh and fish: start the command from one of them")
    return name


def _detected() -> str:
    import shellingham  # Typer requires it

    try:
        return str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        return ""
