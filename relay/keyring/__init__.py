"""Private keys: where they lie, how they are made, and which one signs for a domain now.

    names     domains and selectors as they may stand in keys/<domain>/<selector>.pem
    folder    what lies in the keys folder; opens nothing
    pem       a private key from the octets of a file, with the reason when there is none
    files     key files: read with their permissions, written without a window
    records   the record to publish, in the forms people paste
    prove     each key signs once and dkimpy verifies it, before the key is used
    keyring   which key signs for a domain now

Whether a record is published is not decided here: the keyring asks the gate it is given.
"""
