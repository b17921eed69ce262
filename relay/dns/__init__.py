"""The records of our keys in DNS: asked for, judged, and the gate that they open.

resolver      TXT questions; every way to get no answer told apart
delegation    the zone of a name, and where its servers are; cache: for how long that counts
authorities   every authoritative server asked directly (server), and what they say (survey)
dnssec        whether a name is signed, and whether its signatures hold
finding       what is said: code, severity, symptom, cause, fix
judge         what one answer means for a key
everywhere    what several servers mean together
check         one record as all of DNS has it; surroundings: DMARC, SPF and others around it
gate          a key signs once its record was seen and matches, by the rules of standing;
              memory: what was seen when
publish       records put into DNS, by RFC 2136 or a provider's API
tlsa          fingerprints of mail servers in DNS (DANE)
"""
