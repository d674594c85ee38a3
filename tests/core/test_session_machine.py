"""The session and its playout, under whatever a client, an engine and a clock may do: see `session_machine`."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.session_machine import SessionMachine


def test_whatever_happens_the_contract_holds() -> None:
    """`HYPOTHESIS_PROFILE=thorough` tries 25 times as many."""
    examples = settings().max_examples * 2
    run_state_machine_as_test(SessionMachine, settings=settings(max_examples=examples, stateful_step_count=60))
