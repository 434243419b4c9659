"""The command line: ``python -m minidl doctor``, ``plugins``, ``gradcheck`` and ``bench``."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from . import command, plugins
from .bench import conv, small
from .command import UsageError
from .errors import suggestion
from .table import table

EXAMPLES = (
    ("python -m minidl doctor", "check the installation"),
    ("python -m minidl gradcheck relu dense", "check their gradients"),
    ("python -m minidl bench conv --help", "options of a benchmark"),
)
BENCHES = {"conv": conv, "small": small}
"""The modules behind ``bench``: each has ``add_arguments(parser)`` and ``run(given)``, which returns an exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status, 0, or 1 if something is wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = parsers()
    if words and not words[0].startswith("-") and words[0] not in commands:
        close = suggestion(words[0], commands)
        raise UsageError(f"there is no command '{words[0]}'.{close} Commands: {', '.join(commands)}.")
    if not words:
        print(parser.format_help(), end="")
        return 0
    given = argparse.Namespace(**parser.given(words))
    run: Callable[[argparse.Namespace], int] = given.run
    return run(given)


def parsers() -> tuple[command.Parser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the command line, and those of its commands by name."""
    parser = command.Parser(prog="python -m minidl", description="Tools for minidl.", examples=EXAMPLES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    added = commands.add_parser("doctor", help="what is installed, what is missing, and how to fix it")
    added.set_defaults(run=doctor)
    added = commands.add_parser("plugins", help="list every plugin by kind and name, with its package")
    added.add_argument("--json", action="store_true", help="print JSON")
    added.set_defaults(run=show_plugins)
    added = commands.add_parser("gradcheck", help="check gradients and print the worst errors")
    added.add_argument("names", nargs="*", metavar="NAME", help="ops, layers and losses by name (default: all)")
    added.set_defaults(run=show_gradients)
    added = commands.add_parser("bench", help="run a benchmark on this machine")
    benches = added.add_subparsers(required=True, metavar="WHAT")
    for name, module in BENCHES.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        added = benches.add_parser(name, help=summary, description=summary)
        module.add_arguments(added)
        added.set_defaults(run=module.run)
    return parser, commands.choices


def doctor(_given: argparse.Namespace) -> int:
    """Print all findings; return 1 if something required fails."""
    from .doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    failed = sum(finding.status == "failed" for finding in findings)
    print(f"\n{failed} of {len(findings)} checks failed." if failed else "\nEverything required works.")
    return 1 if failed else 0


def show_plugins(given: argparse.Namespace) -> int:
    """Print all plugins."""
    found = plugins.describe()
    if given.json:
        print(json.dumps([info.as_dict() for info in found], indent=1))
        return 0
    rows = [(info.kind, info.name, f"{info.distribution} {info.version}", info.status) for info in found]
    print(table([("kind", "name", "from", "status"), *rows], left=4))
    for info in found:
        if info.reason:
            print(f"\n{info.kind} '{info.name}': {info.reason}")
    return 0


def show_gradients(given: argparse.Namespace) -> int:
    """Check gradients and print the worst error of each; return 1 if one is wrong."""
    from .testing import check_gradients

    rows: list[tuple[str, ...]] = []
    errors = []
    for kind, name, results, wrong in check_gradients(given.names):
        if wrong:
            errors.append(wrong)
            rows.append((kind, name, "", "", "", "wrong"))
            continue
        sums = (sum(result.compared for result in results), sum(result.kinks for result in results))
        worst = f"{max(result.worst for result in results):.1e}"
        rows.append((kind, name, str(len(results)), *map(str, sums), worst))
    print(table([("kind", "name", "checks", "derivatives", "kinks", "worst relative error"), *rows], left=2))
    for message in errors:
        print(f"\n{message}")
    return 1 if errors else 0


if __name__ == "__main__":
    command.run(main)
