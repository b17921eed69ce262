"""What `dkim-relay demo` needs around the relay, on loopback and in this process.

dns_server   answers TXT questions from a dictionary
smarthost    takes mail and keeps it
run          the steps, each named
"""
