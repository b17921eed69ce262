"""Private keys: where they lie, how they are made, and which one signs for a domain now.

    names     domains and selectors as they may stand in keys/<domain>/<selector>.pem
    folder    what lies in the keys folder; opens nothing
    pem       a private key from the octets of a file, with the reason when there is none
    files     key files, read with their permissions
    tokens    keys in PKCS#11 tokens; token_uri says where they are, token_module asks them
    records   the record to publish, in the forms people paste
    prove     each key signs once and dkimpy verifies it, before the key is used
    loading   the keys of one domain: listed, read, proven; arithmetic has quick checks
    keyring   which key signs for a domain now; reads keys at first need
    watch     what is new, changed or gone in the keys folder; changes are facts for the log

Whether a record is published is not decided here: the keyring asks the gate it is given.
"""
