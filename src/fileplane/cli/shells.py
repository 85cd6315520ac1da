"""Completion in bash, zsh and fish: the scripts that ask this command, and where they are installed.

The scripts are ours and not Typer's: in bash, Typer's breaks words at ``:`` and ``@``, which locations of `fileplane cp` have; in zsh it
evaluates what the command prints, which may have come from a server. These take every line as a word and evaluate nothing. What they
rely on is how Typer is asked: the variables ``_FILEPLANE_COMPLETE``, ``COMP_WORDS``, ``COMP_CWORD`` and ``_TYPER_COMPLETE_ARGS``
(``typer/_completion_classes.py`` of Typer 0.29.2).
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from fileplane.cli.exits import CommandFailed, ExitCode, leave
from fileplane.cli.output import print_line


class Shell(StrEnum):
    """Those that completion is made for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_BASH: Final = r"""# Completion of fileplane for bash. For this shell only: eval "$(fileplane completion bash)"
_fileplane_completion() {
    local line=${COMP_LINE:0:COMP_POINT} offered word kept
    # A word that has not begun is an empty one, in quotes; the last word is the one that is being typed.
    [[ $line == *[[:space:]] ]] && line+="''"
    COMPREPLY=()
    while IFS= read -r offered; do
        [[ -n $offered ]] && COMPREPLY+=("$offered")
    done < <(COMP_WORDS=$line COMP_CWORD=-1 _FILEPLANE_COMPLETE=complete_bash "$1" 2>/dev/null </dev/null)
    # bash replaces only what follows the last of these characters, so that what precedes it must not come again.
    word=${COMP_LINE:0:COMP_POINT}
    word=${word##*[[:space:]]}
    kept=${word%"${word##*[:=@]}"}
    [[ -n $kept && $COMP_WORDBREAKS == *"${kept: -1}"* ]] && COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _fileplane_completion fileplane
"""

_ZSH: Final = r"""#compdef fileplane
# Completion of fileplane for zsh. For this shell only: source <(fileplane completion zsh)
_fileplane() {
    local -a lines words_offered described
    local line
    lines=("${(@f)$(_FILEPLANE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \
        _TYPER_COMPLETE_ARGS="${words[1,CURRENT]}" "${words[1]}" 2>/dev/null </dev/null)}")
    for line in "${lines[@]}"; do
        [[ -n $line ]] || continue
        words_offered+=("${line%%$'\t'*}")
        if [[ $line == *$'\t'* ]]; then described+=("${line%%$'\t'*}  ${line#*$'\t'}"); else described+=("$line"); fi
    done
    if (( ${#words_offered} == 0 )); then
        _files
    elif (( ${#words_offered} == 1 )) && [[ ${words_offered[1]} == *[:/] ]]; then
        compadd -S '' -- "${words_offered[@]}"
    else
        compadd -l -d described -- "${words_offered[@]}"
    fi
}
if [[ ${funcstack[1]} == _fileplane ]]; then
    _fileplane "$@"
elif (( ${+functions[compdef]} )); then
    compdef _fileplane fileplane
fi
"""

_FISH: Final = r"""# Completion of fileplane for fish. For this shell only: fileplane completion fish | source
function __fileplane_complete
    set -l found (env _FILEPLANE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \
        _TYPER_COMPLETE_ARGS=(commandline --cut-at-cursor --current-process | string collect) fileplane 2>/dev/null </dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline --current-token --cut-at-cursor)
    end
end
complete --command fileplane --erase
complete --command fileplane --no-files --arguments '(__fileplane_complete)'
"""

SCRIPTS: Final = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def completion(
    shell: Annotated[Shell | None, typer.Argument(help="Which shell; without it, the one that SHELL names.", show_default=False)] = None,
) -> None:
    """Print the script that completes this command's words in a shell: commands, options, file ids, virtual keys, providers, purposes.

    `fileplane --install-completion` puts it where the shell finds it. Whatever a server is asked for is waited for a second at most.
    """
    typer.echo(SCRIPTS[shell or current_shell()], nl=False)


def current_shell() -> Shell:
    """The shell that the environment names. Raises :class:`CommandFailed` for another."""
    name = Path(os.environ.get("SHELL", "")).name
    try:
        return Shell(name)
    except ValueError as error:
        raise CommandFailed(
            ExitCode.USAGE, f"There is no completion for the shell '{name}'. Name one: fileplane completion bash, zsh or fish."
        ) from error


def installed_path(shell: Shell) -> Path:
    """Where the shell looks for the script by itself, or after the line that :func:`install` tells of."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return {
        Shell.BASH: data / "bash-completion" / "completions" / "fileplane",
        Shell.ZSH: data / "zsh" / "site-functions" / "_fileplane",
        Shell.FISH: configuration / "fish" / "completions" / "fileplane.fish",
    }[shell]


_BESIDES: Final = {
    Shell.BASH: "New shells have it where bash-completion is installed; elsewhere, put this into ~/.bashrc: source {path}",
    Shell.ZSH: "Put this into ~/.zshrc, before compinit: fpath=({folder} $fpath)",
    Shell.FISH: "New shells have it.",
}


def install(shell: Shell) -> None:
    """Writes the script; no file that somebody else writes, such as ~/.bashrc, is touched. Raises :class:`CommandFailed`."""
    path = installed_path(shell)
    partial = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(SCRIPTS[shell], "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CommandFailed(ExitCode.FAILED, f"{path} cannot be written: {error.strerror}.") from error
    print_line(f"wrote {path}")
    print_line(_BESIDES[shell].format(path=path, folder=path.parent))


def show_completion(context: Any, _: Any, value: Any) -> Any:
    """What ``--show-completion`` does."""
    if value and not context.resilient_parsing:
        _leave_with(lambda: completion(None))
    return value


def install_completion(context: Any, _: Any, value: Any) -> Any:
    """What ``--install-completion`` does."""
    if value and not context.resilient_parsing:
        _leave_with(lambda: install(current_shell()))
    return value


def _leave_with(act: Any) -> NoReturn:
    try:
        act()
    except CommandFailed as failure:
        raise leave(failure.code, str(failure)) from failure
    raise typer.Exit
