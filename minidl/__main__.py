"""The command line: ``python -m minidl doctor | plugins | gradcheck | bench``."""

import argparse
import json
import sys
from collections.abc import Sequence

from . import plugins
from .bench import peers, small
from .errors import MinidlError
from .tables import aligned

BENCHMARKS = {"peers": peers, "small": small}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 where something is wrong, 2 for what cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m minidl", description="Tools around minidl.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("doctor", help="what this machine has, what is missing, and how to mend it")
    command.set_defaults(run=doctor)
    command = commands.add_parser("plugins", help="every plugin by kind and name, and where it comes from")
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=show_plugins)
    command = commands.add_parser("gradcheck", help="check gradients; a table of the worst errors")
    command.add_argument("names", nargs="*", metavar="NAME", help="ops, layers and losses by name (default: all)")
    command.set_defaults(run=show_gradients)
    command = commands.add_parser("bench", help="how fast minidl is, and how fast others are")
    benchmarks = command.add_subparsers(required=True, metavar="BENCHMARK")
    for name, module in BENCHMARKS.items():
        about = (module.__doc__ or "").partition("\n")[0]
        command = benchmarks.add_parser(name, help=about, description=about)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    given = parser.parse_args(arguments)
    try:
        status: int = given.run(given)
    except MinidlError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return status


def doctor(given: argparse.Namespace) -> int:
    """Print all findings; 1 if something that is needed fails."""
    from .doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    failed = sum(finding.status == "failed" for finding in findings)
    print(f"\n{failed} of {len(findings)} parts need mending." if failed else "\nEverything that is needed works.")
    return 1 if failed else 0


def show_plugins(given: argparse.Namespace) -> int:
    """Print all plugins."""
    found = plugins.describe()
    if given.json:
        print(json.dumps([info.as_dict() for info in found], indent=1))
        return 0
    rows = [(info.kind, info.name, f"{info.distribution} {info.version}", info.status) for info in found]
    print(aligned(("kind", "name", "from", "status"), rows))
    for info in found:
        if info.reason:
            print(f"\n{info.kind} '{info.name}': {info.reason}")
    return 0


def show_gradients(given: argparse.Namespace) -> int:
    """Check gradients and print the worst error of each; 1 if one is wrong."""
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
    print(aligned(("kind", "name", "checks", "derivatives", "kinks", "worst relative error"), rows))
    for message in errors:
        print(f"\n{message}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
