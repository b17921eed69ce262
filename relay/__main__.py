"""`python -m relay` is `dkim-relay`."""

from relay.cli import main

main(prog_name="dkim-relay")
