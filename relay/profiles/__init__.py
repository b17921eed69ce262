"""Upstream profiles as data; read by `relay.assembly`, understood by `relay.core.profile`."""
