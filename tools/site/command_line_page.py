"""Reference page of the command line, from the parsers of ``jaxnmr``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from jaxnmr.cli.main import _parser

INTRODUCTION = """\
# The command line

Every command with its arguments, generated from the parsers of the program; `jaxnmr COMMAND --help` prints the same in a
terminal. {epilog}

{description}
"""


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every parser that does something, with its short help, in the order in which they were added."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        short = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, sub in group.choices.items():
            if any(isinstance(action, argparse._SubParsersAction) for action in sub._actions):
                yield from commands(sub)
            else:
                yield sub, short.get(name, "")


def named(action: argparse.Action) -> str:
    """An argument as it is typed."""
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else None)
    words = " ".join(value) if isinstance(value, tuple) else value or (action.dest.upper() if action.nargs != 0 else "")
    if not action.option_strings:
        return words
    return f"{', '.join(action.option_strings)} {words if action.nargs != 0 else ''}".strip()


def text(words: str | None, action: argparse.Action) -> str:
    """The help of an argument with its placeholders filled in, for a cell of a table."""
    filled = (words or "") % (vars(action) | {"prog": "jaxnmr"})
    return filled.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("$", "\\$")


def command(parser: argparse.ArgumentParser) -> list[str]:
    """The section of a command."""
    name = parser.prog.removeprefix("jaxnmr ")
    lines = [f"## {name}", "", parser.description or "", ""]
    if parser.epilog and parser.epilog.startswith("example: "):
        lines += ["```sh", parser.epilog.removeprefix("example: ").strip(), "```", ""]
    elif parser.epilog:
        lines += ["```text", parser.epilog.strip(), "```", ""]
    shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS and action.dest != "help"]
    # what has to be given first, options that every command has last
    shown.sort(key=lambda action: (bool(action.option_strings), action.dest in ("out", "quiet", "cache", "no_cache")))
    if shown:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{named(action).replace('|', ' ')}` | {text(action.help, action)} |" for action in shown]
        lines += [""]
    return lines


def page() -> str:
    """The page in Markdown."""
    parser = _parser()
    epilog = f"{(parser.epilog or '')[:1].upper()}{(parser.epilog or '')[1:]}."
    found = list(commands(parser))
    lines = [INTRODUCTION.format(epilog=epilog, description=parser.description), "| command | purpose |", "|---|---|"]
    for sub, short in found:
        name = sub.prog.removeprefix("jaxnmr ")
        lines.append(f"| [`{sub.prog}`](#{name.replace(' ', '-')}) | {short} |")
    lines.append("")
    for sub, _ in found:
        lines += command(sub)
    return "\n".join(lines)
