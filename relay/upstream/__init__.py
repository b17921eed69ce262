"""The way to the next hop: connections opened, kept and used for one transaction at a time.

Read in this order:

* `settings`    what an operator says about one upstream; the patience of RFC 5321 §4.5.3.2
* `pool`        a live connection for each transaction: idle ones first, waiters in order
* `stock`       the connections there are: being opened, kept, on their way out
* `waiting`     who waits for one: in order, until a deadline
* `restraint`   what speaks against one more: `rate`, `concurrency`, a pause, a `breaker`
* `connect`     TCP, TLS, EHLO and AUTH, by aiosmtplib; then the transport is ours
* `protocol`    commands out, one reply per command back, and nothing else
* `transaction` MAIL, RCPT, DATA or BDAT: the hop's own replies, or why there are none
* `wire`        the octets of commands and data, pure
* `rejections`  what is answered when there is no reply to pass on
* `events`      what happened to connections, for logs and metrics

IO: asyncio and sockets. Foreign exceptions end here and become `Rejection`s.
"""
