"""``no_grad`` as a context and a decorator, of generators, in threads, in any order."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import minidl as md
from minidl.backends import choice
from minidl.errors import MinidlError

from .elsewhere import in_a_thread

X = md.tensor([1.0, 2.0], requires_grad=True)


def recording() -> bool:
    return (X * 2).requires_grad


def test_a_generator_records_nothing_and_its_caller_does() -> None:
    @md.no_grad()
    def steps() -> Iterator[bool]:
        yield recording()
        yield recording()

    seen = []
    for inside in steps():
        seen.append((inside, recording()))
    assert seen == [(False, True), (False, True)]


def test_a_generator_keeps_what_generators_can() -> None:
    said: list[Any] = []

    @md.no_grad()
    def talks() -> Any:
        try:
            said.append((yield recording()))
            try:
                yield
            except ValueError as error:
                said.append((str(error), recording()))
                yield "went on"
        finally:
            said.append(("closed", recording()))
        return "result"

    talk = talks()
    assert next(talk) is False
    talk.send("sent")
    assert talk.throw(ValueError("thrown")) == "went on"
    with pytest.raises(StopIteration) as end:
        next(talk)
    assert end.value.value == "result"
    again = talks()
    next(again)
    again.close()
    assert said == ["sent", ("thrown", False), ("closed", False), ("closed", False)]
    assert recording()


def test_one_decorator_serves_two_threads() -> None:
    inside, leave = threading.Event(), threading.Event()
    seen = {}
    without = md.no_grad()

    @without
    def waits() -> None:
        inside.set()
        leave.wait(10)

    def first() -> None:
        waits()
        seen["first"] = recording()

    def second() -> None:
        with md.no_grad():
            inside.wait(10)
            with without:
                leave.set()
                thread.join()
            seen["second, inside"] = recording()
        seen["second"] = recording()

    thread = threading.Thread(target=first)
    other = threading.Thread(target=second)
    thread.start()
    other.start()
    other.join()
    assert seen == {"first": True, "second, inside": False, "second": True}


def test_contexts_may_end_in_any_order() -> None:
    first, second = md.no_grad(), md.no_grad()
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert not recording()
    second.__exit__()
    assert recording()


def test_a_generator_that_another_thread_ends_leaves_that_thread_as_it_was() -> None:
    def waits() -> Iterator[None]:
        with md.no_grad():
            yield

    begun = waits()
    thread = threading.Thread(target=next, args=(begun,))
    thread.start()
    thread.join()
    begun.close()  # type: ignore[attr-defined]
    assert recording()
    with md.no_grad():
        assert not recording()


@pytest.mark.parametrize("context", [md.no_grad, lambda: md.using(fusion=False)])
def test_a_generator_that_another_thread_ends_leaves_the_thread_that_began_it(context: Any) -> None:
    def inside() -> Iterator[None]:
        with context():
            yield

    def state() -> Any:
        return recording(), choice.current()

    before, generator = state(), inside()
    next(generator)
    assert state() != before
    in_a_thread(lambda: next(generator, None))
    assert state() == before


def test_one_context_serves_two_threads() -> None:
    without = md.no_grad()
    with without:
        in_a_thread(without.__enter__)
        assert not recording()
    assert recording()


def test_a_function_that_calls_itself() -> None:
    @md.no_grad()
    def falls(n: int) -> bool:
        return recording() if n == 0 else falls(n - 1) or recording()

    assert not falls(3)
    assert recording()
    with pytest.raises(ZeroDivisionError):
        md.no_grad()(lambda: 1 // 0)()
    assert recording()


def test_without_brackets_and_for_a_coroutine_it_says_what_to_write() -> None:
    def function() -> None: ...

    async def coroutine() -> None: ...

    with pytest.raises(MinidlError, match=r"write @no_grad\(\), with parentheses"):
        md.no_grad(function)
    with pytest.raises(MinidlError, match=r"no_grad takes no arguments, got mode"):
        md.no_grad(mode=True)
    with pytest.raises(MinidlError, match="cannot decorate the coroutine coroutine"):
        md.no_grad()(coroutine)
