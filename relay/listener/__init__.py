"""The inbound edge: sockets, sessions, limits. A session derives from aiosmtpd's SMTP class.

sockets          binds (bind), lets in (door, shares), counts, sweeps the idle, changes, drains
gateway          whether all clients seem to be one
endpoint         what sessions of one listener share: address, TLS (certificates), proxies
session          one client: which command is whose. It is made of, from the wire upwards:
  connection       octets, ends, pauses
  conversation     lines in, replies out, in order
  handshakes       a PROXY header (proxy), TLS
  authentication   AUTH; logins checks what was said
  intake           a message to its end (data), and how much of all there may be (memory)
  greeting         who the client is, what EHLO offers it
  mailing          MAIL, RCPT, DATA, BDAT
transit          one transaction: from MAIL to the final reply, through flow and upstream
handover         when the upstream was given the message
station          what all transactions share
limits           how much a session may do
"""
