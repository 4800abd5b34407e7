"""The report on a replay: a timeline as CSV, Parquet and JSON, and a page that shows it.

It owns what the files look like; it must not work anything out that a mood does not tell, nor need a network.
"""
