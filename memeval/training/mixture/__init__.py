"""`memeval train data`: Mem-alpha's training mixture, built from the data sets' own files or from the published parquet.

sources.py    the files from which each family is built; writes parquet files and task cards
families.py   the families: records of a data set -> streams with questions
streams.py    what the families share: the split, the form of a chunk, the filters, the published schema
"""
