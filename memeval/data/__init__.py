"""Where data sets are, and what is in them, whatever the family.

files.py     DataFile: the names of a file, its place on the hub, its address and licence; the one look-up
fetch.py     getting a file from the hub or from its address
records.py   any file becomes JSON lines once, in the user's cache; every later start reads from there
fields.py    checks of what users write themselves, and the one wrapper for published files
"""
