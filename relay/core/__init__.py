"""The pure heart of the relay: octets, settings and `now` in; decisions and octets out.

Nothing in here reads a clock, opens a socket or a file, logs, or knows of asyncio.
"""
