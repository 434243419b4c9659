"""The table of what the conformance kit says of versions of a plugin."""

from typing import Any

import pytest

from minidl import ops
from minidl.course.verdicts import verdicts
from minidl.errors import MinidlError
from minidl.testing import check_op


class WithoutDy(ops.Exp):
    """exp, with a backward that forgets dy."""

    def backward(self, dy: Any) -> Any:
        return self.saved


def test_a_failed_check_is_in_the_table_with_its_reason_beside_those_that_passed() -> None:
    said = verdicts(check_op, WithoutDy, [[0.5, -1.0]])
    assert said["gradient"][0] == "failed"
    assert "wrong gradient of input 0" in said["gradient"][1]
    assert said["dtype"] == ("passed", "")
    assert [*said] == [*verdicts(check_op, ops.Exp, [[0.5, -1.0]])]


def test_a_check_that_cannot_run_is_an_error_and_no_empty_table() -> None:
    with pytest.raises(MinidlError, match="the check 'nothing' does not exist"):
        verdicts(check_op, ops.Exp, [[0.5, -1.0]], skip={"nothing": "no reason"})
