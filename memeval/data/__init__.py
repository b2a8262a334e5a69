"""Find and read the files of data sets, for all families.

files.py       DataFile: the names of a file, its place on the hub, its URL and licence; the one look-up
fetch.py       fetches a file from the hub or from its URL
records.py     converts any file to JSON lines once, in the user's cache; every later start reads from there
containers.py  the readers of JSON, JSON lines, CSV and parquet
fields.py      fields of published records, and the one wrapper that reports where they differ from the published form
upstream.py    files of public repositories that we may not ship
"""
