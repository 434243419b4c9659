"""The pytest plugin, registered by an entry point: the option ``--minidl-checks`` and the fixture ``strict_backend``.

The option adds one test per check of every plugin that an installed distribution announces, so a plugin package needs
no tests for the common requirements::

    pytest --minidl-checks minidl-example
"""

from collections.abc import Iterator
from typing import Any

import pytest

from .. import backends, plugins
from ..errors import PluginError
from .kit import NotApplicable
from .strict import StrictBackend
from .subjects import KINDS, subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("minidl").addoption(
        "--minidl-checks",
        metavar="DISTRIBUTION",
        action="append",
        default=[],
        help="check all minidl plugins of an installed distribution (may be given several times)",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for every requested check."""
    for distribution in config.getoption("--minidl-checks"):
        items += _checks_of(distribution, session)


def _checks_of(distribution: str, session: pytest.Session) -> Iterator[pytest.Item]:
    found = [info for info in plugins.describe() if info.distribution == distribution]
    if not found:
        known = ", ".join(sorted({info.distribution for info in plugins.describe()}))
        raise pytest.UsageError(f"--minidl-checks: '{distribution}' announces no plugins. Known: {known}.")
    for info in found:
        if info.kind not in KINDS:
            continue
        for check in KINDS[info.kind].descriptions():
            yield CheckItem.from_parent(session, name=f"{info.kind}-{info.name}-{check}", info=info, check=check)


class CheckItem(pytest.Item):
    """One check of one plugin."""

    def __init__(self, *, info: plugins.PluginInfo, check: str, **options: Any) -> None:
        super().__init__(**options)
        self.info, self.check = info, check

    def runtest(self) -> None:
        """Run the check; if it does not apply, the test is skipped."""
        if self.info.status == "failed":  # another plugin may have the same name
            raise PluginError(self.info.reason)
        try:
            subject(self.info.kind, self.info.name).run_check(self.check)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone, which names the plugin, the example and the error."""
        if isinstance(excinfo.value, AssertionError | PluginError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """The location shown in pytest's report."""
        return self.info.distribution, None, self.name


@pytest.fixture
def strict_backend() -> StrictBackend:
    """The stand-in for CuPy, with its counts of copies reset to 0."""
    backend = backends.get("strict")
    assert isinstance(backend, StrictBackend)
    backend.to_device = backend.to_host = 0
    return backend
