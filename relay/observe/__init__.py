"""One event in; one log line and its counters out.

log         structlog: JSON, or readable on a terminal
chronicle   what one process keeps of what it is told:
  metrics     counters and histograms; names has their known label values
  recent      the last transactions and minutes
  reach       whether upstreams can be reached
gauges      a status as Prometheus sees it
exposition  what a scrape gets: both
uniting     the statuses of several processes made one
sharing     counters of several processes, in one folder
"""
