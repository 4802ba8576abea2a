"""Names of the files that every study's run folder has."""

SUMMARY_FILE = "summary.json"
"""The numbers (schema 1). It is written last: a run is finished where it is there."""

READING_FILE = "report.json"
"""What stands in the report beside the numbers: quotes, the claims' parts, versions, notes."""
