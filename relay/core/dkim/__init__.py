"""DKIM, a module per section of RFC 6376. Pure.

tags       §3.2  tag=value lists
algorithm  §3.3  algorithms and keys, with RFC 8301 and RFC 8463
canonical  §3.4  canonicalization of header fields and body, hashed incrementally
signature  §3.5  the DKIM-Signature header field
record     §3.6  the key record in DNS; causes: why one is of no use
sign       §5    which fields, the digest to sign, the finished header field
verify     §6    what a receiver would say: lookup (the record), check (one signature),
                 proof (which key signed), verdict (what is found out)
reading          messages from files and strangers, for verifying only
diagnose/        what changed a message after it was signed
alignment        RFC 7489 §3.1.1: whether a signature speaks for the From domain
unsigned         a message without any signature
"""
