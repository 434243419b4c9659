"""Run the vectors."""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl as md
from minidl.errors import DtypeError

from .operators import OPERATORS, Excluded


@dataclass(frozen=True)
class Result:
    """The result of a vector: ``status`` is "passed", "failed" or "excluded"; ``reason`` explains the latter two."""

    name: str
    operator: str
    status: str
    reason: str = ""


def vectors() -> Iterator[tuple[str, Any, Any]]:
    """The name, the node and the test case of every vector with a single ONNX operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    for case in cases:
        if len(case.model.graph.node) == 1:  # the others expand the same operators into simpler ones
            yield case.name, case.model.graph.node[0], case


def run(name: str, node: Any, case: Any) -> Result:
    """Compute a vector and compare it with the expected output, within the tolerance of the standard."""
    function = OPERATORS.get(node.op_type)
    if function is None:
        return Result(name, node.op_type, "excluded", "minidl has no such operator")
    from onnx import helper

    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    attributes["outputs"] = len(node.output)
    for inputs, expected in case.data_sets:
        given = map(_array, inputs)
        arrays = [next(given) if wanted else None for wanted in node.input]
        try:
            if not all(array is None or isinstance(array, np.ndarray | np.generic) for array in arrays):
                raise Excluded("inputs that are no arrays")
            if len(node.output) > 1 and node.op_type == "MaxPool":
                raise Excluded("the positions of the maxima as a second output")
            with np.errstate(all="ignore"):
                outputs = function(attributes, *(None if array is None else np.asarray(array) for array in arrays))
        except Excluded as reason:
            return Result(name, node.op_type, "excluded", str(reason))
        except DtypeError as error:
            return Result(name, node.op_type, "excluded", f"dtype: {error}")
        except Exception as error:  # every vector gets its line
            return Result(name, node.op_type, "failed", f"{type(error).__name__}: {error}")
        problem = _difference(outputs, [*map(_array, expected)], case.rtol, case.atol)
        if problem:
            return Result(name, node.op_type, "failed", problem)
    return Result(name, node.op_type, "passed")


def _array(value: Any) -> Any:
    """An input or output as an array; some are messages of the file format."""
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _difference(outputs: Any, expected: Any, rtol: float, atol: float) -> str:
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if len(outputs) < len(expected):
        return f"{len(outputs)} outputs, expected {len(expected)}"
    for got, wanted in zip(outputs, expected, strict=False):
        array = got.numpy() if isinstance(got, md.Tensor) else np.asarray(got)
        if array.dtype != np.asarray(wanted).dtype:
            return f"dtype {array.dtype}, expected {wanted.dtype}"
        if array.shape != np.shape(wanted):
            return f"shape {array.shape}, expected {np.shape(wanted)}"
        if not np.allclose(array, wanted, rtol=rtol, atol=atol, equal_nan=True):
            return f"differs by up to {np.nanmax(np.abs(array.astype(float) - wanted)):.3g}"
    return ""


def results(operator: str = "") -> list[Result]:
    """All vectors, or those of one operator."""
    return [run(*vector) for vector in vectors() if operator in ("", vector[1].op_type)]


def summary(found: list[Result]) -> str:
    """Passed and total, and every exclusion with its reason."""
    shared = [result for result in found if result.operator in OPERATORS]
    lines = []
    for result in shared:
        if result.status == "failed":
            lines.append(f"FAILED {result.name}: {result.reason}")
    reasons = Counter((result.operator, result.reason) for result in shared if result.status == "excluded")
    lines += [f"excluded {count:3} of {operator}: {reason}" for (operator, reason), count in sorted(reasons.items())]
    others = Counter(result.operator for result in found if result.operator not in OPERATORS)
    lines.append(f"minidl has none of: {', '.join(sorted(others))} ({sum(others.values())} vectors)")
    status = Counter(result.status for result in shared)
    lines.append(
        f"ONNX vectors of {len(OPERATORS)} shared operators: {status['passed']} of "
        f"{status['passed'] + status['failed']} passed, {status['excluded']} excluded"
    )
    return "\n".join(lines)
