"""Which of many combinations stand for all of them, and cases that are played one after the other in one test.

The full product of files, cuts, providers, forms and faults takes minutes. A change is checked with a covering set:
each case of each axis at least once. With RELAY_TEST_FULL=1 the full product is played.
"""

import functools
import inspect
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, TypeVar

import pytest

Item = TypeVar("Item")
Test = Callable[..., Any]
Param = type(pytest.param(None))

FULL = os.environ.get("RELAY_TEST_FULL") == "1"


def firsts(items: Iterable[Item], kind: Callable[[Item], Hashable]) -> tuple[Item, ...]:
    """The first item of each kind, in order; all of them if FULL."""
    found = tuple(items)
    return found if FULL else tuple({kind(item): item for item in reversed(found)}.values())[::-1]


def base_choices(*axes: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Each case of each axis, with the first cases of the other axes; all combinations if FULL."""
    if FULL:
        yield from product(*axes)
        return
    base = tuple(axis[0] for axis in axes)
    yield base
    for index, axis in enumerate(axes):
        for case in axis[1:]:
            yield (*base[:index], case, *base[index + 1 :])


def each(names: str | Sequence[str], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """As `pytest.mark.parametrize`, but in one test, whose failure has a note that names the case.

    A test of its own costs two milliseconds of pytest and xdist: for thousands of cheap cases that is most of the cost.
    Fixtures of a function are made once for all cases.
    """
    named = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    played = [tuple(case.values) if isinstance(case, Param) else _values(case, len(named)) for case in cases]

    def of_each(test: Test) -> Test:
        @functools.wraps(test)
        def synchronous(*args: Any, **given: Any) -> None:
            for case in played:
                try:
                    test(*args, **given, **dict(zip(named, case, strict=True)))
                except BaseException as error:
                    error.add_note(note(case))
                    raise

        @functools.wraps(test)
        async def asynchronous(*args: Any, **given: Any) -> None:
            for case in played:
                try:
                    await test(*args, **given, **dict(zip(named, case, strict=True)))
                except BaseException as error:
                    error.add_note(note(case))
                    raise

        looped: Any = asynchronous if inspect.iscoroutinefunction(test) else synchronous
        signature = inspect.signature(test)
        # Else pytest would look for fixtures of these names.
        kept = [each for name, each in signature.parameters.items() if name not in named]
        looped.__signature__ = signature.replace(parameters=kept)
        return looped  # type: ignore[no-any-return]

    def note(case: tuple[Any, ...]) -> str:
        shown = (getattr(value, "__name__", None) or repr(value)[:200] for value in case)
        return "with " + ", ".join(f"{name}={value}" for name, value in zip(named, shown, strict=True))

    return of_each


def _values(case: Any, names: int) -> tuple[Any, ...]:
    """A tuple is one value if there is one name, as with pytest."""
    return (case,) if names == 1 else tuple(case)
