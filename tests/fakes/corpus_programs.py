"""Messages in the shapes of libraries, servers and devices that send mail by themselves.

Pure. This is what the relay meets most. RFC 2369 and RFC 8058 (newsletters), RFC 3834 (automatic
mail), RFC 5545-6047 (calendars).
"""

from __future__ import annotations

from tests.fakes.corpus_case import NEEDS_SMTPUTF8, Case, Relayed, whole

# mail(): the caller's own lines come last, among them From; UTF-8 as it stands; no Date.
PHP = """\
To: ann@sink.test
Subject: Neue Nachricht über das Kontaktformular
X-PHP-Originating-Script: 1000:contact.php
From: jane@example.com
Reply-To: visitor@example.net
Content-type: text/html; charset=utf-8
X-Mailer: PHP/8.3.6

<p>Grüße<br />
</p>
"""

PHPMAILER = """\
Date: Fri, 20 Nov 2026 10:00:00 +0000
To: Ann <ann@sink.test>
From: Jane <jane@example.com>
Subject: =?UTF-8?B?w5xiZXJzaWNodA==?=
Message-ID: <0123456789abcdef0123456789abcdef@example.com>
X-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary="b1=_0123456789abcdef0123456789abcdef"
Content-Transfer-Encoding: 8bit

--b1=_0123456789abcdef0123456789abcdef
Content-Type: text/plain; charset=us-ascii

text

--b1=_0123456789abcdef0123456789abcdef
Content-Type: text/html; charset=UTF-8
Content-Transfer-Encoding: 8bit

<p>Grüße</p>


--b1=_0123456789abcdef0123456789abcdef--
"""

# Jakarta Mail folds after a blank, so lines end in one.
JAVA = """\
Date: Fri, 20 Nov 2026 10:00:00 +0000 (UTC)
From: jane@example.com
To: ann@sink.test
Message-ID: <1234567890.1.1795168800000@app-7d9c5b8f4-x2x2x>
Subject: Numbers
MIME-Version: 1.0
Content-Type: multipart/mixed; \n\tboundary="----=_Part_0_1234567890.1795168800000"

------=_Part_0_1234567890.1795168800000
Content-Type: multipart/related; \n\tboundary="----=_Part_1_987654321.1795168800001"

------=_Part_1_987654321.1795168800001
Content-Type: text/html;charset=UTF-8
Content-Transfer-Encoding: quoted-printable

<p>Gr=C3=BC=C3=9Fe</p>
------=_Part_1_987654321.1795168800001--

------=_Part_0_1234567890.1795168800000--
"""

# System.Net.Mail: no weekday, no Message-ID; SmtpClient ends texts in blank lines.
DOTNET = """\
MIME-Version: 1.0
From: "Jane" <jane@example.com>
To: ann@sink.test
Date: 20 Nov 2026 10:00:00 +0000
Subject: =?utf-8?B?w5xiZXJzaWNodCBkZXIgWmFobGVuIGRlciBXb2NoZSB1bmQgZGVzIE1v?=
 =?utf-8?B?bmF0cw==?=
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

R3LDvMOfZQ==

"""

RAILS = """\
Date: Fri, 20 Nov 2026 10:00:00 +0000
From: jane@example.com
To: ann@sink.test
Message-ID: <691ee9a0a1b2c_13b0c8@app.mail>
Subject: Reset password instructions
Mime-Version: 1.0
Content-Type: text/html;
 charset=UTF-8
Content-Transfer-Encoding: 7bit

<p><a href="https://example.com/password/edit?token=abc">Change</a></p>
"""

GO = """\
To: ann@sink.test
From: jane@example.com
Subject: Numbers

fine
"""

CRON = """\
From: "(Cron Daemon)" <root@example.com>
To: ann@sink.test
Subject: Cron <root@host> test -x /usr/sbin/anacron || ( cd / && run-parts /etc/cron.daily )
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
X-Cron-Env: <SHELL=/bin/sh>
X-Cron-Env: <HOME=/root>
X-Cron-Env: <PATH=/usr/bin:/bin>

/etc/cron.daily/logrotate:
error: stat of /var/log/… failed: No such file or directory
"""

NEWSLETTER = """\
From: =?utf-8?Q?Example=20News?= <jane@example.com>
Reply-To: =?utf-8?Q?Example=20News?= <us1-0123456789-abcdef@inbound.example.net>
To: <ann@sink.test>
Date: Fri, 20 Nov 2026 10:00:00 +0000
Message-ID: <0123456789abcdef0123456789.abcdef0123.20261120100000.0123456789.01234567@example.net>
X-Mailer: Mailer - **CID0123456789abcdef**
X-Campaign: mailer0123456789.0123456789
X-campaignid: mailer0123456789.0123456789
X-Report-Abuse: Please report abuse at: https://example.net/abuse?u=0123456789&id=0123456789
Feedback-ID: 1234567:1234567.7654321:us1:mc
List-ID: 0123456789 <0123456789.abcdef.list-id.example.net>
X-CSA-Complaints: csa-complaints@example.org
List-Unsubscribe: <https://example.net/unsubscribe?u=0123456789&id=abcdef&t=b&e=0123456789>,
 <mailto:unsubscribe-0123456789abcdef@example.net?subject=unsubscribe>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Precedence: bulk
Subject: =?utf-8?Q?Numbers=20=E2=80=94=20=F0=9F=93=88=20this=20week?=
Content-Type: multipart/alternative; boundary="_----------=_MCPart_0123456789"
MIME-Version: 1.0

This is a multi-part message in MIME format

--_----------=_MCPart_0123456789
Content-Type: text/plain; charset="utf-8"; format="fixed"
Content-Transfer-Encoding: quoted-printable

** Numbers
------------------------------------------------------------
https://example.net/track/click?u=3D0123456789&id=3Dabcdef=20

--_----------=_MCPart_0123456789
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

<!doctype html><html><body style=3D"height: 100%;margin: 0;padding: 0;width:=
 100%;background-color: #FAFAFA;">  <span style=3D"display:none">=C2=A0=E2=80=
=8C=C2=A0</span></body></html>
--_----------=_MCPart_0123456789--

"""

LIST = """\
To: numbers@lists.example.com
From: Jane via Numbers <jane@example.com>
Date: Fri, 20 Nov 2026 10:00:00 +0000
Message-ID: <mailman.1.1795168800.1.numbers@lists.example.com>
Subject: [Numbers] [ANN] this week
X-BeenThere: numbers@lists.example.com
X-Mailman-Version: 3.3.9
Precedence: list
Reply-To: Jane <jane@example.com>
List-Id: "Numbers, weekly" <numbers.lists.example.com>
Archived-At: <https://lists.example.com/archives/message/ABC/>
List-Archive: <https://lists.example.com/archives/>
List-Help: <mailto:numbers-request@lists.example.com?subject=help>
List-Owner: <mailto:numbers-owner@lists.example.com>
List-Post: <mailto:numbers@lists.example.com>
List-Subscribe: <mailto:numbers-join@lists.example.com>
List-Unsubscribe: <mailto:numbers-leave@lists.example.com>
Sender: "Numbers" <numbers-bounces@lists.example.com>
Errors-To: numbers-bounces@lists.example.com

text
_______________________________________________
Numbers mailing list -- numbers@lists.example.com
"""

TRACKER = """\
Date: Fri, 20 Nov 2026 10:00:00 -0800
From: Jane Doe <jane@example.com>
Reply-To: example/relay <reply+ABCDEF0123456789@reply.example.com>
To: example/relay <relay@noreply.example.com>
Cc: Subscribed <subscribed@noreply.example.com>
Message-ID: <example/relay/issues/1/4711@example.com>
In-Reply-To: <example/relay/issues/1@example.com>
References: <example/relay/issues/1@example.com>
Subject: Re: [example/relay] DKIM: fail (#1)
Mime-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 7bit
Precedence: list
X-Auto-Response-Suppress: All

> text

--\x20
Reply to this email directly or view it on the web:
https://example.com/example/relay/issues/1#issuecomment-4711
"""

INVITATION = """\
MIME-Version: 1.0
Reply-To: Jane <jane@example.com>
Sender: Calendar <calendar-notification@example.com>
Message-ID: <calendar-00000000-0000-4000-8000-1234567890ab@example.com>
Date: Fri, 20 Nov 2026 10:00:00 +0000
Subject: Invitation: numbers @ Mon 23 Nov 2026 10am - 11am (CET) (ann@sink.test)
From: Jane <jane@example.com>
To: ann@sink.test
Content-Type: multipart/mixed; boundary="000000000000cafe"

--000000000000cafe
Content-Type: multipart/alternative; boundary="000000000000beef"

--000000000000beef
Content-Type: text/plain; charset="UTF-8"; format=flowed; delsp=yes
Content-Transfer-Encoding: base64

bnVtYmVycwo=
--000000000000beef
Content-Type: text/calendar; charset="UTF-8"; method=REQUEST
Content-Transfer-Encoding: 8bit

BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VEVENT
ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=
 TRUE;CN=ann@sink.test;X-NUM-GUESTS=0:mailto:ann@sink.test
SUMMARY:Zahlen für die Woche
END:VEVENT
END:VCALENDAR

--000000000000beef--
--000000000000cafe
Content-Type: application/ics; name="invite.ics"
Content-Disposition: attachment; filename="invite.ics"
Content-Transfer-Encoding: base64

QkVHSU46VkNBTEVOREFSCkVORDpWQ0FMRU5EQVIK
--000000000000cafe--
"""

# A year of two digits, no blanks after semicolons, a subject of the device's own character set.
SCANNER = b"""\
From:jane@example.com\r
To:ann@sink.test\r
Subject:Gescannt f\xfcr Ann\r
Date:20 Nov 26 10:00:00 +0100\r
X-Mailer:KMBT_C250i\r
MIME-Version:1.0\r
Content-Type:multipart/mixed;boundary="KMBT_C250i_4711"\r
\r
--KMBT_C250i_4711\r
Content-Type:text/plain;charset="iso-8859-1"\r
Content-Transfer-Encoding:8bit\r
\r
\r
--KMBT_C250i_4711\r
Content-Type:application/pdf;name="SCAN.pdf"\r
Content-Disposition:attachment;filename="SCAN.pdf"\r
Content-Transfer-Encoding:base64\r
\r
JVBERi0xLjQK\r
\r
--KMBT_C250i_4711--\r
"""

PROGRAMS: tuple[Case, ...] = (
    whole("php-mail", PHP, added=("Date", "Message-ID"), at_bare_hop=NEEDS_SMTPUTF8),
    whole("phpmailer", PHPMAILER, at_bare_hop=Relayed.REENCODED),
    whole("jakarta-mail", JAVA),
    whole("dotnet", DOTNET, added=("Message-ID",)),
    whole("rails", RAILS),
    whole("go-net-smtp", GO, added=("Date", "Message-ID")),
    whole("cron", CRON, added=("Date", "Message-ID"), at_bare_hop=Relayed.REENCODED),
    whole("newsletter", NEWSLETTER),
    whole("mailman-list", LIST),
    whole("issue-tracker", TRACKER),
    whole("invitation-of-a-web-calendar", INVITATION, at_bare_hop=Relayed.REENCODED),
    whole("office-scanner", SCANNER, added=("Message-ID",), at_bare_hop=NEEDS_SMTPUTF8),
)
