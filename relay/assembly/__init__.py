"""From settings to parts: each made here once, nothing of it started."""

from relay.assembly.inbound import binding, client_rules, make_listeners, make_read_limits
from relay.assembly.naming import hostname
from relay.assembly.outbound import make_pools, make_ways, upstream_settings
from relay.assembly.profiles import load_profile, profile_hints, profile_names
from relay.assembly.signing import make_gate, make_keyring, make_memory, make_terms

__all__ = [
    "binding",
    "client_rules",
    "hostname",
    "load_profile",
    "make_gate",
    "make_keyring",
    "make_listeners",
    "make_memory",
    "make_pools",
    "make_read_limits",
    "make_terms",
    "make_ways",
    "profile_hints",
    "profile_names",
    "upstream_settings",
]
