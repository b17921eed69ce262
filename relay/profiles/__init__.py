"""Upstream profiles as data; read by `relay.service`, understood by `relay.core.profile`."""
