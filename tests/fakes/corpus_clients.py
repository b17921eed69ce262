"""Messages in the shapes of programs that people write mail with.

Pure. The header sections keep each program's order, case, folding and oddities; texts are short.
"""

from __future__ import annotations

from tests.fakes.corpus_case import Case, Relayed, whole

# Alternative with "=_NextPart", header names of its own, a body hash over long QP lines.
OUTLOOK = """\
From: "Jane Doe" <jane@example.com>
To: "'Ann'" <ann@sink.test>
References: <000001dc5a2a$7f3e0d40$7dba27c0$@example.net>
In-Reply-To: <000001dc5a2a$7f3e0d40$7dba27c0$@example.net>
Subject: RE: Numbers of the week
Date: Fri, 20 Nov 2026 10:00:00 +0100
Message-ID: <004201dc5a2b$7f3e0d40$7dba27c0$@example.com>
MIME-Version: 1.0
Content-Type: multipart/alternative;
\tboundary="----=_NextPart_000_0043_01DC5A33.E1027540"
X-Mailer: Microsoft Outlook 16.0
Thread-Index: AQHcWit/N9yzJ0mBqkKq3Y8=
Content-Language: de

This is a multipart message in MIME format.

------=_NextPart_000_0043_01DC5A33.E1027540
Content-Type: text/plain;
\tcharset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe =20

=20

From: Ann <ann@sink.test>=20
------=_NextPart_000_0043_01DC5A33.E1027540
Content-Type: text/html;
\tcharset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

<html xmlns:v=3D"urn:schemas-microsoft-com:vml"><body lang=3DDE =
style=3D'word-wrap:break-word'><p class=3DMsoNormal>Gr=FC=DFe<o:p></o:p></p>=
</body></html>
------=_NextPart_000_0043_01DC5A33.E1027540--

"""

# Names in every case, values folded where they are not lists, TNEF.
EXCHANGE = """\
From: Jane Doe <jane@example.com>
To: Ann <ann@sink.test>
Subject: Numbers of the week
Thread-Topic: Numbers of the week
Thread-Index: AQHcWit/N9yzJ0mBqkKq3Y8pAAAAAA==
Date: Fri, 20 Nov 2026 09:00:00 +0000
Message-ID:
 <AS8PR01MB0000ABCDEF0123456789ABCDEF0123@AS8PR01MB0000.eurprd01.prod.exchangelabs.com>
Accept-Language: de-DE, en-US
Content-Language: de-DE
X-MS-Has-Attach: yes
X-MS-TNEF-Correlator: <AS8PR01MB0000ABCDEF@AS8PR01MB0000.eurprd01.prod.exchangelabs.com>
msip_labels:
x-ms-publictraffictype: Email
x-ms-office365-filtering-correlation-id: 00000000-0000-0000-0000-08de27f00000
x-microsoft-antispam:
 BCL:0;ARA:13230040|376014|1800799024|38070700021|8096899003;
x-microsoft-antispam-message-info:
 =?us-ascii?Q?QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJz?=
 =?us-ascii?Q?dHV2d3h5ejAxMjM0NTY3ODkrLw=3D=3D?=
x-ms-exchange-transport-forked: True
X-OriginatorOrg: example.com
Content-Type: multipart/mixed;
\tboundary="_002_AS8PR01MB0000ABCDEF0123456789_"
MIME-Version: 1.0

--_002_AS8PR01MB0000ABCDEF0123456789_
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable


--_002_AS8PR01MB0000ABCDEF0123456789_
Content-Disposition: attachment; filename="winmail.dat"
Content-Transfer-Encoding: base64
Content-Type: application/ms-tnef; name="winmail.dat"

eJ8+IhcPAQaQCAAEAAAAAAABAAEAAQeQBgAIAAAA5AQAAAAAAADoAAEIgAcAGAAAAElQTS5NaWNy

--_002_AS8PR01MB0000ABCDEF0123456789_--
"""

GMAIL = """\
X-Google-DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
        d=1e100.net; s=20251104; t=1795168800; x=1795773600;
        h=to:subject:message-id:date:from:mime-version:x-gm-gg
         :x-gm-message-state:from:to:cc:subject:date:message-id:reply-to;
        bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
        b=AAAA
X-Gm-Message-State: AOJu0YyExampleExampleExampleExample
\tExampleExampleExample==
X-Received: by 2002:a05:6402:100:b0:64b:1234:5678 with SMTP id
 4fb4d7f45d1cf-6450000000mr1000000a12.1.1795168800000;
        Fri, 20 Nov 2026 02:00:00 -0800 (PST)
MIME-Version: 1.0
From: Jane Doe <jane@example.com>
Date: Fri, 20 Nov 2026 11:00:00 +0100
Message-ID: <CAExample+Example=Example_w@mail.gmail.com>
Subject: Numbers of the week
To: ann@sink.test
Content-Type: multipart/alternative; boundary="0000000000001234560643a1b2c3"

--0000000000001234560643a1b2c3
Content-Type: text/plain; charset="UTF-8"

Good *morning*,

--\x20
Jane

--0000000000001234560643a1b2c3
Content-Type: text/html; charset="UTF-8"

<div dir="ltr">Good <b>morning</b>,<div><br></div></div>

--0000000000001234560643a1b2c3--
"""

# A quoted pair in the comment of MIME-Version, a capital letter of its own, a folded boundary.
APPLE_MAIL = """\
From: Jane Doe <jane@example.com>
Content-Type: multipart/alternative;
\tboundary="Apple-Mail=_3B7E2C5E-0000-4000-8000-1234567890AB"
Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3864.100.1.1.5\\))
Subject: Numbers of the week
Message-Id: <1B2C3D4E-0000-4000-8000-1234567890AB@example.com>
Date: Fri, 20 Nov 2026 11:00:00 +0100
To: Ann <ann@sink.test>
X-Mailer: Apple Mail (2.3864.100.1.1.5)
X-Universally-Unique-Identifier: 0F000000-0000-4000-8000-1234567890AB


--Apple-Mail=_3B7E2C5E-0000-4000-8000-1234567890AB
Content-Transfer-Encoding: 7bit
Content-Type: text/plain;
\tcharset=us-ascii

Good morning,

--Apple-Mail=_3B7E2C5E-0000-4000-8000-1234567890AB
Content-Type: multipart/related;
\ttype="text/html";
\tboundary="Apple-Mail=_5D000000-0000-4000-8000-1234567890AB"


--Apple-Mail=_5D000000-0000-4000-8000-1234567890AB
Content-Transfer-Encoding: 7bit
Content-Type: text/html;
\tcharset=us-ascii

<html><body>Good morning,<img id="1" src="cid:1@example.com"></body></html>
--Apple-Mail=_5D000000-0000-4000-8000-1234567890AB
Content-Transfer-Encoding: base64
Content-Disposition: inline;
\tfilename=dot.gif
Content-Type: image/gif;
\tx-unix-mode=0644;
\tname="dot.gif"
Content-Id: <1@example.com>

R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7

--Apple-Mail=_5D000000-0000-4000-8000-1234567890AB--

--Apple-Mail=_3B7E2C5E-0000-4000-8000-1234567890AB--
"""

IPHONE = """\
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable
From: Jane Doe <jane@example.com>
Mime-Version: 1.0 (1.0)
Date: Fri, 20 Nov 2026 11:00:00 +0100
Subject: =?utf-8?Q?Re:_Numbers_=F0=9F=91=8D?=
Message-Id: <0F000000-0000-4000-8000-1234567890AB@example.com>
To: ann@sink.test
X-Mailer: iPhone Mail (23B85)

Fine=F0=9F=91=8D

Sent from my iPhone=
"""

# Flowed text: blanks at line ends carry meaning, and a signature's "-- " too.
THUNDERBIRD = """\
Message-ID: <0f000000-0000-4000-8000-1234567890ab@example.com>
Date: Fri, 20 Nov 2026 11:00:00 +0100
MIME-Version: 1.0
User-Agent: Mozilla Thunderbird
Subject: Numbers of the week
To: Ann <ann@sink.test>
Content-Language: de-DE, en-US
From: Jane Doe <jane@example.com>
Autocrypt: addr=jane@example.com; keydata=
 xjMEZzuP4BYJKwYBBAHaRw8BAQdAExampleExampleExampleExampleExampleExample
 AAAA
Organization: Example
Content-Type: text/plain; charset=UTF-8; format=flowed
Content-Transfer-Encoding: 8bit

Grüße, und ein Absatz, der in der\x20
nächsten Zeile weitergeht.

> > zitiert\x20
> einmal

--\x20
Jane
"""

MUTT = """\
Date: Fri, 20 Nov 2026 11:00:00 +0100
From: Jane Doe <jane@example.com>
To: ann@sink.test
Subject: Re: Numbers of the week
Message-ID: <Zz24YExample@host>
Mail-Followup-To: Jane Doe <jane@example.com>, ann@sink.test
References: <Zz1Example@sink.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii
Content-Disposition: inline
In-Reply-To: <Zz1Example@sink.test>

On Fri, Nov 20, 2026 at 09:00:00AM +0000, Ann wrote:
> Good morning,
>
> the numbers

\tfine
"""

# $-names, a base64 body in one part, X-KeepSent.
NOTES = """\
To: ann@sink.test
MIME-Version: 1.0
Subject: =?ISO-8859-1?Q?=DCbersicht?=
X-KeepSent: 00000000:00000000-C1258D50:00362F00;
 type=4; name=$KeepSent
From: Jane Doe <jane@example.com>
Message-ID: <OF00000000.00000000-ONC1258D50.00362F00-C1258D50.00362F01@example.com>
Date: Fri, 20 Nov 2026 11:00:00 +0100
X-MIMETrack: Serialize by Router on MAIL/EXAMPLE(Release 12.0.2FP1|October 01, 2022) at
 20/11/2026 11:00:00
Content-type: text/html; charset=ISO-8859-1
Content-transfer-encoding: base64
Content-disposition: inline

PHA+R3L832U8L3A+Cg==


"""

# Written by hand into a terminal: a few fields and a line.
TELNET = """\
From: jane@example.com
Subject: test

test
"""

CLIENTS: tuple[Case, ...] = (
    whole("outlook", OUTLOOK),
    whole("exchange-online", EXCHANGE),
    whole("gmail", GMAIL),
    whole("apple-mail", APPLE_MAIL),
    whole("iphone", IPHONE),
    whole("thunderbird", THUNDERBIRD, at_bare_hop=Relayed.REENCODED),
    whole("mutt", MUTT),
    whole("lotus-notes", NOTES),
    whole("telnet", TELNET, added=("Date", "Message-ID")),
)
