"""`ase-wander completion SHELL`: a script that completes commands, options and choices, from the parser itself."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

SHELLS = ("bash", "zsh", "fish")


@dataclass
class Words:
    """What may follow a command: {word: help}, and {option: choices} of options that have some."""

    subcommands: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    choices: dict = field(default_factory=dict)
    positional: list = field(default_factory=list)


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "completion",
        help="script of completions for bash, zsh or fish",
        description='Print a script that completes this program. bash and zsh: eval "$(ase-wander completion bash)" in '
        "~/.bashrc, or zsh in ~/.zshrc; fish: ase-wander completion fish > ~/.config/fish/completions/ase-wander.fish",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(main=main)


def main(arguments) -> int:
    """Run the command."""
    from . import COMMANDS, build_parser

    tree = words_of(build_parser())
    for name in COMMANDS:  # the parser knows the arguments of one command at a time
        tree |= {path: words for path, words in words_of(build_parser(name)).items() if path[:1] == (name,)}
    print(fish_script(tree) if arguments.shell == "fish" else bash_script(tree, arguments.shell))
    return 0


def words_of(parser, path=()) -> dict:
    """{path of commands: Words} of a parser and of those below it."""
    words, tree = Words(), {}
    tree[path] = words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {a.dest: a.help or "" for a in action._choices_actions}
            words.subcommands = {name: helps.get(name, "") for name in action.choices}
            for name, below in action.choices.items():
                tree |= words_of(below, (*path, name))
        elif action.option_strings:
            words.options |= {option: _plain(action, parser) for option in action.option_strings}
            if action.choices or action.nargs == 0:
                choices = [str(choice) for choice in action.choices or ()]
                words.choices |= {option: choices for option in action.option_strings}
        elif action.choices:
            words.positional += [str(choice) for choice in action.choices]
    return tree


def bash_script(tree, shell="bash") -> str:
    """Script for bash, and for zsh through its own `bashcompinit`."""
    known = [" ".join(path) for path in tree if path]
    choices = [
        f'    "{" ".join(path)}:{option}") COMPREPLY=($(compgen -W "{" ".join(values)}" -- "$cur")); return;;'
        for path, words in tree.items()
        for option, values in words.choices.items()
        if values
    ]
    lists = [
        f'    "{" ".join(path)}") words="{" ".join([*words.subcommands, *words.positional, *words.options])}";;'
        for path, words in tree.items()
    ]
    steps = [f'      "{name}") place="{name}";;' for name in known]
    head = ["#compdef ase-wander", "autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []
    return "\n".join(
        [
            *head,
            "_ase_wander() {",
            '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" place="" word words=""',
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            '    case "${place:+$place }$word" in',
            *steps,
            "    esac",
            "  done",
            '  case "$place:$prev" in',
            *choices,
            "  esac",
            '  case "$place" in',
            *lists,
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
            "}",
            "complete -o bashdefault -o default -F _ase_wander ase-wander",
        ]
    )


def fish_script(tree) -> str:
    """Script for fish."""
    lines = []
    for path, words in tree.items():
        seen = "; and ".join(f"__fish_seen_subcommand_from {name}" for name in path) or "__fish_use_subcommand"
        below = f"; and not __fish_seen_subcommand_from {' '.join(words.subcommands)}" if words.subcommands else ""
        start = f"complete -c ase-wander -n '{seen}{below if path else ''}'"
        lines += [f"{start} -f -a {name} -d '{_quoted(text)}'" for name, text in words.subcommands.items()]
        lines += [f"{start} -a {name}" for name in words.positional]
        for option, text in words.options.items():
            name = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            values = words.choices.get(option)
            rest = "" if values == [] else f" -x -a '{' '.join(values)}'" if values else " -r"
            lines.append(f"{start} {name}{rest} -d '{_quoted(text)}'")
    return "\n".join(lines)


def _plain(action, parser) -> str:
    """Help of an option as --help shows it, in one line."""
    text = action.help or ""
    if text == argparse.SUPPRESS:
        return ""
    return " ".join((text % {**vars(action), "prog": parser.prog}).split())


def _quoted(text) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")[:90]
