"""Contexts: nested, ended in any order, in threads, as decorators, and with exceptions inside."""

import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends
from minidl.backends import choice
from minidl.errors import MinidlError
from minidl.op import Op

DIRECT, PLAIN, USUAL = ("direct", True), ("auto", False), ("auto", True)


def chosen() -> Any:
    """The algorithm, and whether layers are fused."""
    return choice.current()


def test_a_generator_that_is_decorated_computes_as_it_says_and_its_caller_does_not() -> None:
    @md.using(conv_algorithm="direct")
    def steps() -> Iterator[Any]:
        yield chosen()
        yield chosen()

    for inside in steps():
        assert (inside, chosen()) == (DIRECT, USUAL)


def test_a_function_that_is_decorated_may_call_itself() -> None:
    @md.using(fusion=False)
    def count(depth: int) -> list[Any]:
        return [chosen(), *(count(depth - 1) if depth else []), chosen()]

    assert count(2) == [PLAIN] * 6
    assert chosen() == USUAL


def test_a_coroutine_is_not_decorated() -> None:
    with pytest.raises(MinidlError, match="using cannot decorate the coroutine f: write `with using"):

        @md.using(fusion=False)
        async def f() -> None: ...


def steps() -> Iterator[Any]:
    yield chosen()
    yield chosen()


def shown(function: Callable[[], Any]) -> Callable[[], Any]:
    """What decorators usually return: a plain function, whatever it calls."""

    @functools.wraps(function)
    def call() -> Any:
        return function()

    return call


class Steps:
    def __call__(self) -> Iterator[Any]:
        yield from steps()


@pytest.mark.parametrize("function", [shown(steps), Steps(), Steps().__call__, functools.partial(steps)])
def test_a_generator_is_stepped_through_inside_whatever_made_it(function: Any) -> None:
    made = md.using(fusion=False)(function)
    for inside in made():
        assert (inside, chosen()) == (PLAIN, USUAL)
    assert list(made()) == [PLAIN, PLAIN]


def test_a_coroutine_is_refused_whatever_made_it() -> None:
    async def f() -> None: ...

    async def numbers() -> AsyncIterator[int]:
        yield 1

    for function in (f, numbers):
        with pytest.raises(MinidlError, match=f"using cannot decorate the coroutine {function.__name__}: write"):
            md.using(fusion=False)(shown(function))()


@pytest.mark.parametrize("context", [md.no_grad, md.using, md.Profiler], ids=lambda context: context.__name__)
def test_a_context_without_brackets_says_so(context: Any) -> None:
    name = context.__name__
    with pytest.raises(MinidlError, match=f"{name} needs parentheses: write `with {name}\\(\\):`"), context:
        pass


@pytest.mark.parametrize(("context", "name"), [(md.no_grad(), "no_grad"), (md.using(fusion=False), "using")])
def test_a_class_stays_a_class_and_what_cannot_be_called_is_not_decorated(context: Any, name: str) -> None:
    with pytest.raises(MinidlError, match=f"^{name} cannot decorate the class Net: decorate its methods"):

        @context
        class Net(md.nn.Module):
            def forward(self, x: md.Tensor) -> md.Tensor:
                return x

    with pytest.raises(MinidlError, match=f"^{name} decorates functions, got <property .*below @property"):

        class Model:
            @context
            @property
            def size(self) -> int:
                return 1


def test_contexts_that_end_in_another_order_leave_nothing_behind() -> None:
    def inside(name: str) -> Iterator[None]:
        with md.using(conv_algorithm=name):
            yield

    first, second = inside("direct"), inside("fft")
    next(first)
    next(second)
    assert chosen()[0] == "fft"
    first.close()
    assert chosen()[0] == "fft"
    second.close()
    assert chosen() == USUAL


def test_a_context_may_be_entered_again_inside_itself() -> None:
    direct, fft = md.using(conv_algorithm="direct"), md.using(conv_algorithm="fft")
    with direct, fft:
        with direct:
            assert chosen()[0] == "direct"
        assert chosen()[0] == "fft"
    assert chosen() == USUAL


def test_an_error_ends_a_context() -> None:
    with pytest.raises(KeyError), md.using(fusion=False):
        raise KeyError
    assert chosen() == USUAL


def test_profilers_do_not_time_each_other() -> None:
    before = Op.record
    with md.Profiler() as profiler:
        for other in (profiler, md.Profiler()):
            with pytest.raises(MinidlError, match="a profiler is already active: end its block first"), other:
                pass
        _ = md.tensor([1.0]) + 2
    assert Op.record is before
    assert [event.op for event in profiler.events] == ["Add"]


def test_a_profiler_goes_on_in_a_second_block() -> None:
    before, profiler = Op.record, md.Profiler()
    for _ in range(2):
        with profiler:
            _ = md.tensor([1.0]) + 2
    profiler.__exit__()
    assert Op.record is before
    assert [event.op for event in profiler.events] == ["Add", "Add"]


def in_turn(*works: Callable[[threading.Barrier], None]) -> None:
    """Run functions in threads that meet at a barrier; raises what one of them raises."""
    barrier, errors = threading.Barrier(len(works), timeout=10), []

    def run(work: Callable[[threading.Barrier], None]) -> None:
        try:
            work(barrier)
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_what_a_thread_says_of_capturable_kernels_holds_for_it_alone() -> None:
    device: Any = backends.get("strict")

    def first(barrier: threading.Barrier) -> None:
        with device.only_capturable():
            barrier.wait()
            barrier.wait()
            assert device.capturable
        barrier.wait()

    def second(barrier: threading.Barrier) -> None:
        barrier.wait()
        assert not device.capturable
        with device.only_capturable():
            barrier.wait()
            barrier.wait()
            assert device.capturable
        assert not device.capturable

    in_turn(first, second)
    assert not device.capturable
    assert np.array_equal(device.to_numpy(device.asarray(np.ones(1))), [1])
