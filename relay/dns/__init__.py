"""The records of our keys in DNS: asked for, judged, and the gate that they open.

resolver  TXT questions; every way to get no answer told apart
judge     what an answer means for a key: symptom, cause, fix
gate      a key signs once its record was seen and matches
"""
