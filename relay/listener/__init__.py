"""The inbound edge: sockets, sessions, limits. A session derives from aiosmtpd's SMTP class.

sockets   binds, accepts, counts, sweeps the idle, drains
session   one connection: commands in, replies out
data      the end of DATA and its dots, on blocks
transit   one transaction: from MAIL to the final reply, through flow and upstream
"""
