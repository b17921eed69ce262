"""dkim-relay: an SMTP relay proxy that signs in transit. The map, in the order a message meets it.

    listener/    a client connects; commands in, replies out; DATA to its end
    flow.py      READ FIRST: accept() = admit → complete, forward() = adapt → sign → transmit
    core/        the stages and all grammar, pure: octets in, decisions and octets out
        policy       may this client use this From; which domain signs
        complete     Date, Message-ID, Received; Bcc and Return-Path out
        adapt        what this hop cannot carry is settled before the hash
        dkim/        RFC 6376, a module per section: sign and verify
    keyring/     which key signs for a domain now
    dns/         whether its record is published: the gate
    rotation/    a new key takes the place of an old one
    upstream/    the connection that is open already, and the transaction on it
    observe/     one event in, one log line and its counters out
    admin/       health, metrics and the status page, by HTTP

    service/     runs all of it, changes it, drains it; in one process or several
    assembly/    from settings to parts, and what becomes of them to a status
    telling.py   what the parts tell, as events
    config/      what there is to set, and where it comes from
    profiles/    what providers rewrite and limit, as data
    state.py     files that outlive the process
    clock.py     the only place that reads the time
    cancelling.py  waiting for libraries that lose a cancellation
    cli/         the commands
    demo/        a DNS server and a smarthost in this process, for `dkim-relay demo`

Imports go down only: cli, demo → service → assembly, admin → listener, observe → flow, rotation →
upstream | keyring | dns → config, clock, state → core.
"""

__version__ = "0.1.0"
