"""One event in; one log line and its counters out.

log       structlog: JSON, or readable on a terminal
"""
