"""A new key takes the place of an old one, with no gap and nobody at the keyboard.

    journal   what cannot be seen in the folder and in DNS: since when, and what was begun
    plan      the next step for a domain; pure
    files     the facts of a folder, and how a private key is destroyed
    rotation  carries steps out, one after the other; for commands, and unattended in the service

The state is what lies in the keys folder and in DNS. Every step has one effect and can be done
again, so whatever ends the process, the next one goes on from what it finds.
"""
