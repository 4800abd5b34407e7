"""The report on a replay: a timeline as CSV, Parquet and JSON, and a page that shows it."""
