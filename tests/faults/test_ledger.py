"""What clients were told, against what a smarthost that fails at random has stored."""

from __future__ import annotations

from pathlib import Path

from tests.bench.ledger import keep
from tests.bench.ledger_entries import Entry, Ledger
from tests.fakes.jumping_loop import run_jumping


def test_three_hundred_messages_through_a_smarthost_that_fails_at_random(tmp_path: Path) -> None:
    """None answered 250 is missing, and none is there twice but after an unknown outcome."""
    ledger = run_jumping(keep(300, sessions=20, seed=1, folder=tmp_path))
    assert ledger.is_right, ledger.table()
    assert ledger.faults.total() > 20, ledger.table()
    assert ledger.duplicates, ledger.table()


def test_a_ledger_that_is_wrong_says_so() -> None:
    """A message that is lost, and a copy that no reply accounts for."""
    ledger = Ledger([Entry([b"250 ok"], copies=0), Entry([b"554 no", b"250 ok"], copies=2)])
    assert (ledger.lost, ledger.unexplained, ledger.is_right) == (1, 1, False)
    assert Ledger([Entry([b"250 ok"], copies=1)]).is_right
