"""The report on a replay: its timeline as CSV, Parquet and JSON, and a web page that shows it.

This package defines the layout of the files. It only shows figures that moods contain, and its page needs no network.
"""
