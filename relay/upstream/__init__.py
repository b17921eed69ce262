"""The way to the next hop: connections opened, kept and used for one transaction at a time.

Read in this order:

* `settings`    what an operator says about one upstream; the patience of RFC 5321 §4.5.3.2
* `pool`        a live connection for each transaction: idle ones first, waiters in order
* `stock`       the connections there are: being opened, kept, lent, on their way out
* `supply`      new ones, when they are needed or before
* `waiting`     who waits for one: in order, until a deadline
* `restraint`   what speaks against one more: `rate`, `concurrency`, a pause, a `breaker`
* `connect`     TCP, TLS, EHLO and AUTH, by aiosmtplib; then the transport is ours:
  `opening` is one attempt, `trust` says who is believed, `auth` and `sasl` log in with what
  `secret` or `oauth` (over `https`) has
* `protocol`    a `command` out, one reply back, and nothing else; `outflow` is back-pressure
* `transaction` the hop's own replies, or why there are none: first `addressing` (MAIL and RCPT,
  whose replies are `pending`), then `transfer` (DATA or BDAT)
* `route`       several upstreams in order
* `wire`        the octets of commands and data, pure
* `rejections`  what is answered when there is no reply to pass on
* `events`      what happened to connections, for logs and metrics; `snapshot` how they stand

IO: asyncio and sockets. Foreign exceptions end here and become `Rejection`s.
"""
