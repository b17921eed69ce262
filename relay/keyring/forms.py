"""Records in the forms that people paste, run and send. Pure.

RFC 1035 §5.1 (zone files), the update language of nsupdate (RFC 2136), the APIs of Route 53 and
Cloudflare, Terraform's HCL. Each form takes any number of records; escaping is settled here, for
any printable text, so that nothing in a value can end the string that it stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from relay.core.dkim.record import split_strings
from relay.keyring.records import Record, RecordType

TTL_SECONDS = 3600


def as_text(records: Iterable[Record]) -> str:
    """For the form of a DNS console: one line each for name, type and value."""
    return "\n".join(
        f"name:  {r.name}\ntype:  {r.kind}\nvalue: {_shown_value(r)}\n" for r in records
    )


def as_bind(records: Iterable[Record]) -> str:
    """Lines of a zone file, each value in quoted strings of at most 255 octets."""
    return "".join(f"{r.name}. {TTL_SECONDS} IN {r.kind} {_zone_value(r)}\n" for r in records)


def as_json(records: Sequence[Record]) -> str:
    """An object from owner name to a list of texts, as `verify --dns-file` reads it.

    A resolver follows a CNAME by itself, so the text stands at both names.
    """
    texts: dict[str, list[str]] = {}
    targets = {r.value: r.name for r in records if r.kind is RecordType.CNAME}
    for record in records:
        if record.kind is RecordType.TXT:
            for name in filter(None, (targets.get(record.name), record.name)):
                texts.setdefault(name, []).append(record.value)
    return _json(texts)


def as_route53(records: Iterable[Record]) -> str:
    """A change batch: `aws route53 change-resource-record-sets --change-batch file://…`."""
    changes = [
        {
            "Action": "UPSERT" if record.replaces else "CREATE",  # CREATE fails on what is there
            "ResourceRecordSet": {
                "Name": f"{record.name}.",
                "Type": record.kind,
                "TTL": TTL_SECONDS,
                "ResourceRecords": [{"Value": _strings(record)}],
            },
        }
        for record in records
    ]
    return _json({"Comment": "DKIM key records", "Changes": changes})


def as_cloudflare(records: Iterable[Record]) -> str:
    """The body of `POST /zones/ZONE_ID/dns_records/batch`, which is all or nothing."""
    posts = [
        {
            "type": record.kind,
            "name": record.name,
            "content": _strings(record),
            "ttl": TTL_SECONDS,
            **({"proxied": False} if record.kind is RecordType.CNAME else {}),
        }
        for record in records
    ]
    return _json({"posts": posts})


def as_terraform(records: Iterable[Record]) -> str:
    """Resources of Terraform's AWS provider; the zone is a variable of yours."""
    return "\n".join(
        f'resource "aws_route53_record" "{_label(r)}" {{\n'
        "  zone_id = var.zone_id\n"
        f"  name    = {_hcl(r.name)}\n"
        f"  type    = {_hcl(r.kind)}\n"
        f"  ttl     = {TTL_SECONDS}\n"
        f"  records = [{_hcl(_terraform_aws_value(r))}]\n"
        "}\n"
        for r in records
    )


def as_terraform_cloudflare(records: Iterable[Record]) -> str:
    """Resources of Terraform's Cloudflare provider (5 and later); the zone is a variable."""
    return "\n".join(
        f'resource "cloudflare_dns_record" "{_label(r)}" {{\n'
        "  zone_id = var.zone_id\n"
        f"  name    = {_hcl(r.name)}\n"
        f"  type    = {_hcl(r.kind)}\n"
        f"  ttl     = {TTL_SECONDS}\n"
        f"  content = {_hcl(_strings(r))}\n"
        "}\n"
        for r in records
    )


def as_nsupdate(records: Iterable[Record]) -> str:
    """A script for nsupdate; it adds nothing where a record of that type and name is."""
    lines = ["; nsupdate -k KEYFILE SCRIPT; a server other than the zone's primary: server HOST"]
    for record in records:
        name = f"{record.name}."
        if record.replaces:
            lines.append(f"update delete {name} {record.kind}")
        else:
            lines.append(f"prereq nxrrset {name} IN {record.kind}")
        lines.append(f"update add {name} {TTL_SECONDS} IN {record.kind} {_strings(record, '.')}")
        lines.append("send")  # one transaction each: the names may be in several zones
    return "\n".join(lines) + "\n"


def as_instructions(records: Sequence[Record]) -> str:
    """A text to send to whoever runs the DNS of the domain."""
    count = "this record" if len(records) == 1 else f"these {len(records)} records"
    parts = [
        f"Please publish {count} in DNS. They are public; there is no secret in them.\n"
        "Mail is signed with the matching private key, and receivers look the record up at every\n"
        "message, so it must stay until we say that it can go.\n"
    ]
    parts += [_instruction(number, record) for number, record in enumerate(records, 1)]
    parts.append(
        "* The names are complete. Where the console adds the name of the zone by itself, leave\n"
        "  that ending out.\n"
        "* Copy each value as one line, with its semicolons and without quotation marks or line\n"
        "  breaks of your own.\n"
        "* Where a value of over 255 characters is refused, enter its strings as they are given,\n"
        "  each in quotation marks, as one record: not as several.\n"
        "* Leave no older TXT record at the same name: two make both useless.\n"
    )
    checks = "".join(f"  dig +short {record.kind} {record.name}\n" for record in records)
    parts.append(f"To see that it worked:\n{checks}")
    return "\n".join(parts)


def record_file(record: Record) -> str:
    """What lies beside a key: for people as comments, for a name server as a zone file."""
    comments = "".join(f"; {line}\n" for line in as_text([record]).splitlines())
    return f"; Publish this record; it holds no secret.\n{comments}{as_bind([record])}"


def advice(domain: str) -> str:
    """What should stand in DNS around the key records, as a text for people."""
    return (
        f"Around the key records of {domain}:\n"
        "\n"
        "DMARC (RFC 7489): says what receivers shall do with mail From this domain that neither\n"
        "DKIM nor SPF proves, and asks for reports. Begin with p=none, read the reports, then\n"
        "p=quarantine and p=reject. The signatures of the relay align: d= is the From domain.\n"
        f"  name:  _dmarc.{domain}\n"
        "  type:  TXT\n"
        f"  value: v=DMARC1; p=none; rua=mailto:dmarc-reports@{domain}\n"
        "\n"
        "SPF (RFC 7208): names the hosts that send with this domain as reverse-path, which is the\n"
        "smarthost, not the relay. One record only; include what your smarthost's guide names.\n"
        f"  name:  {domain}\n"
        "  type:  TXT\n"
        "  value: v=spf1 include:SPF-NAME-OF-YOUR-SMARTHOST ~all\n"
        "\n"
        "DKIM by delegation: where others run the DNS of the domain, let them publish one CNAME\n"
        "for each selector, once; you then change keys in a zone of your own:\n"
        f"  dkim-relay keys record {domain} --delegate-to '{{selector}}.{domain}.keys.example'\n"
    )


def _instruction(number: int, record: Record) -> str:
    first_label = record.name.partition("._domainkey.")
    short = f" ({first_label[0]}._domainkey in the zone {first_label[2]})" if first_label[2] else ""
    lines = [
        f"Record {number}",
        f"  Name:  {record.name}{short}",
        f"  Type:  {record.kind}",
        f"  TTL:   {TTL_SECONDS}",
        f"  Value: {_shown_value(record)}",
    ]
    if record.kind is RecordType.TXT and len(parts := split_strings(record.value)) > 1:
        lines += [f"  String {i}: {_quoted(part)}" for i, part in enumerate(parts, 1)]
    return "\n".join(lines) + "\n"


def _shown_value(record: Record) -> str:
    return record.value + ("." if record.kind is RecordType.CNAME else "")


def _zone_value(record: Record) -> str:
    strings = _strings(record, ".")
    return strings if record.kind is RecordType.CNAME else f"( {strings} )"


def _strings(record: Record, final: str = "") -> str:
    """A TXT value in quoted strings; of a CNAME its target, with this ending."""
    if record.kind is RecordType.CNAME:
        return record.value + final
    return " ".join(map(_quoted, split_strings(record.value)))


def _terraform_aws_value(record: Record) -> str:
    """The provider puts the outer quotation marks; `""` stands where one string ends."""
    if record.kind is RecordType.CNAME:
        return record.value
    return '""'.join(_quoted(text)[1:-1] for text in split_strings(record.value))


def _quoted(text: str) -> str:
    """A character string of a zone file (RFC 1035 §5.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hcl(text: str) -> str:
    """A quoted template of HCL, in which nothing is a template."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("${", "$${").replace("%{", "%%{") + '"'


def _label(record: Record) -> str:
    """A name for a resource: letters, digits, hyphens and underscores, a letter first."""
    return "dkim_" + "".join(c if c.isalnum() or c == "-" else "_" for c in record.name)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode("ascii") + "\n"
