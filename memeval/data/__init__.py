"""Where data sets are, and what is in them, whatever the family.

files.py       DataFile: the names of a file, its place on the hub, its address and licence; the one look-up
fetch.py       getting a file from the hub or from its address
records.py     any file becomes JSON lines once, in the user's cache; every later start reads from there
containers.py  the readers of JSON, JSON lines, CSV and parquet
fields.py      fields of published records, and the one wrapper that says where they are not as published
upstream.py    files of public repositories that are not ours to ship
"""
