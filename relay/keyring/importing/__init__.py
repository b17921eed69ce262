"""Keys of other signers, found and taken over. What was found is told in full.

    recognize   what a file or folder is, and which of the following reads it
    loose       key files: names from options, the record beside, the folder or the file name
    opendkim    opendkim.conf: tables, or one domain
    key_table, signing_table, tables   which key signs whose mail, in files or settings
    rspamd      dkim_signing.conf, its maps and key folder
    ucl         the language of rspamd's files
    keyfile     a private key in any form that signers write
    source      where files lie, and how they are opened
    findings    keys, faults, notes and settings, as they are collected
    carry       what was found, into the keys folder

Nothing found wrong ends an import: it is one fault more, with file, line and fix.
"""
