"""The composition root: builds everything, runs it, changes it, ends it.

relay        READ FIRST: one process, start → run → reload → drain → stop
works        all that mail is served with, made of one Config
differences  what has changed from one Config to another one, and what must not
observers    who is told every event
alone        that process with its signals: `workers = 1`
orders       what signals tell
notify       what the service manager is told
reload       settings read anew

With several workers there is one process more:

together     that process with its signals, admin port and service manager
supervisor   starts workers, and others in their place; reloads and ends them all
processes    a worker as the supervisor sees it
channel      what the two say to each other
worker       a worker at its end of the channel
share        so much of each limit for each of them
cpus         how many there may be

The supervisor's modules import nothing that serves mail: it stays small.
"""
