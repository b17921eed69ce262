"""What changed a message after it was signed: measured, not guessed at. Pure.

body      the body alone: which small change, taken back, makes its hash match
header    the header section alone: which change, taken back, makes the signature verify
original  both, compared with the message as it was sent

A hypothesis counts only when it explains the signature exactly: the hash or the signature comes
out right once the change is undone. All work is linear in the message, with a fixed bound on
the number of hypotheses.
"""
