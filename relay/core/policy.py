"""Who may submit as whom, and which domain signs. Pure.

RFC 6409 §4-6 (submission), RFC 6376 §5.1-5.2, RFC 8616 (domains as A-labels).
The From header field decides, never MAIL FROM; the client's identity decides whether it may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from relay.core.address import Path
from relay.core.errors import Reason, Rejection, SyntaxFault
from relay.core.immutable import immutable
from relay.core.mailboxes import Mailbox, parse_mailboxes
from relay.core.message import Message
from relay.core.reply import own

EVERY_ADDRESS = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is known of who a client is.

    Attributes:
        address: where it connects from; None on a UNIX socket.
        listener: the address of the listener it came to, as in the settings.
        login: the name it logged in with; empty before.
        certificate: names and fingerprint of its verified certificate.
        uid: its user on this machine, on a UNIX socket.
    """

    address: IPv4Address | IPv6Address | None = None
    listener: str = ""
    login: str = ""
    certificate: frozenset[str] = frozenset()
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class ClientRule:
    """What one kind of client may do. Every criterion that is given must hold.

    Attributes:
        name: for logs.
        networks: where it connects from.
        from_addresses: what may stand in From: a domain, "*.domain" for all below it, an
            address, or "*" for every configured domain.
        mail_from: what may be the reverse-path, in the same forms; the null path always may.
        listeners: addresses of the listeners it comes to.
        login: the name it logs in with.
        certificates: names, or "sha256:" and a fingerprint, of which its certificate has one.
        uids: users on this machine, on a UNIX socket.
    """

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    from_addresses: tuple[str, ...] = (EVERY_ADDRESS,)
    mail_from: tuple[str, ...] = (EVERY_ADDRESS,)
    listeners: frozenset[str] = frozenset()
    login: str = ""
    certificates: frozenset[str] = frozenset()
    uids: frozenset[int] = frozenset()

    def matches(self, identity: Identity) -> bool:
        """Whether a client is one of these."""
        address = identity.address
        return (
            (
                not self.networks
                or (address is not None and any(address in n for n in self.networks))
            )
            and (not self.listeners or identity.listener in self.listeners)
            and (not self.login or identity.login == self.login)
            and (not self.certificates or not self.certificates.isdisjoint(identity.certificate))
            and (not self.uids or identity.uid in self.uids)
        )

    def permits(self, mailbox: Mailbox) -> bool:
        """Whether these clients may have this mailbox in From."""
        return any(_permits(pattern, mailbox) for pattern in self.from_addresses)

    def permits_reverse_path(self, path: Path) -> bool:
        """Whether these clients may have this reverse-path; nobody needs leave for `<>`."""
        if path.is_null or EVERY_ADDRESS in self.mail_from:
            return True
        return any(matches_path(pattern, path) for pattern in self.mail_from)


def find_rule(rules: Iterable[ClientRule], identity: Identity) -> ClientRule | None:
    """The first rule that says who a client is; without one it may do nothing."""
    return next((rule for rule in rules if rule.matches(identity)), None)


def login_would_help(rules: Iterable[ClientRule], identity: Identity) -> bool:
    """Whether a rule only lacks the login (RFC 4954 §6: 530)."""
    return not identity.login and any(
        rule.login and rule.matches(replace(identity, login=rule.login)) for rule in rules
    )


def matches_path(pattern: str, path: Path) -> bool:
    """Whether a path that is not null is meant by a domain, "*.domain", an address or "*"."""
    return _permits(pattern, Mailbox(path.octets.rpartition(b"@")[0], path.domain))


def _permits(pattern: str, mailbox: Mailbox) -> bool:
    if pattern == EVERY_ADDRESS:
        return True
    if pattern.startswith("*."):
        return mailbox.domain.endswith(pattern[1:])
    local_part, at, domain = pattern.rpartition("@")
    if at:
        return mailbox.domain == domain and mailbox.local_part == local_part.encode("utf-8")
    return mailbox.domain == pattern


@dataclass(frozen=True, slots=True)
class SigningDomains:
    """The domains that the relay signs for.

    Attributes:
        configured: domain in A-labels → whether it signs for its subdomains too.
        organizational: the organizational domain of a domain, or None when it has none
            (a public suffix); bounds how far up a parent may be looked for.
    """

    configured: Mapping[str, bool]
    organizational: Callable[[str], str | None]

    def signing_domain(self, from_domain: str) -> str | None:
        """The exact domain, else the nearest parent with `subdomains = true`, else None."""
        if from_domain in self.configured:
            return from_domain
        top = self.organizational(from_domain)
        parent = from_domain
        while top is not None and parent != top and "." in parent:
            parent = parent.partition(".")[2]
            if self.configured.get(parent, False):
                return parent
        return None


@immutable
class Admission:
    """A message that may be submitted.

    Attributes:
        from_address: RFC5322.From, or RFC5322.Sender where several are in From.
        signing_domain: d=, in A-labels; empty when the message is not to be signed and could
            not be.
    """

    from_address: Mailbox
    signing_domain: str


def admit(
    message: Message, client: ClientRule, domains: SigningDomains, *, is_signing: bool = True
) -> Admission:
    """May this client submit this message, and which domain signs it?

    Args:
        message: as submitted.
        client: the rule that let the client in.
        domains: which domains we sign for.
        is_signing: whether it has to be signed, so that its domains must be ours.

    Raises:
        Rejection: no, or no domain of ours; with the reply and what the operator should do.
    """
    authors = _mailboxes(message, b"from")
    responsible = authors[0]
    if len(authors) > 1:  # RFC 5322 §3.6.2: then Sender says who is responsible
        senders = _mailboxes(message, b"sender")
        if len(senders) != 1:
            raise _bad_field(b"sender", "must have exactly one address")
        responsible = senders[0]
    mailboxes = authors if responsible in authors else (*authors, responsible)
    for mailbox in mailboxes:
        if not client.permits(mailbox):
            raise Rejection(
                own(550, "5.7.1", "This client may not use this From address"),
                Reason.FROM_NOT_PERMITTED,
                f"client {client.name!r} may not use {mailbox.domain}; "
                f"add it to from_addresses of [[clients]] {client.name!r}",
            )
    signing = {mailbox: domains.signing_domain(mailbox.domain) for mailbox in mailboxes}
    for mailbox, domain in signing.items():
        if domain is None and is_signing:
            raise _not_configured(mailbox.domain)
    return Admission(responsible, signing[responsible] or "")


def _mailboxes(message: Message, key: bytes) -> tuple[Mailbox, ...]:
    fields = [f for f in message.fields if f.key == key]
    if len(fields) != 1:
        raise _bad_field(key, "must stand exactly once")
    try:
        return parse_mailboxes(fields[0].value)
    except SyntaxFault as exc:
        raise _bad_field(key, "is not a valid address field", str(exc)) from exc


def _bad_field(key: bytes, what: str, detail: str = "") -> Rejection:
    text = f"The {key.decode('ascii').title()} header field {what}"
    return Rejection(own(550, "5.6.0", text), Reason.FROM_FIELD, detail or text)


def _not_configured(domain: str) -> Rejection:
    shown = domain if domain.isascii() and domain.isprintable() else "this"
    return Rejection(
        own(550, "5.7.1", f"No mail is signed for the From domain {shown} here"),
        Reason.DOMAIN_NOT_CONFIGURED,
        f"no key or [domains] section for {domain}: run dkim-relay keys new {domain}, "
        "or set subdomains = true on its parent",
    )
