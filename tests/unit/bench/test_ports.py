"""Two programs of one measurement never get the same port: one would greet for the other."""

from tests.fakes.processes import free_port


def test_a_port_is_given_once() -> None:
    """At random, two of 400 would be the same in nearly every run."""
    ports = [free_port() for _ in range(400)]
    assert len(set(ports)) == len(ports)
