"""Reading what data sets are published as, whatever the family: finding files, getting them, decoding them, refusing damage.

files.py     a file of the data folder or of the hub's cache, plain or .gz; records with their place for error messages
content.py   bytes of files of any size, and any part of them again; on it arrays.py (JSON arrays) and lines.py (JSONL)
parquet.py   rows a few at a time; whole.py, small files at once
fields.py    typed fields of untrusted records; literals.py, Python literals in them
origin.py    a card's `params`, and the file that is found first
needs.py     which files a task reads and where each may come from; download.py gets them
"""
