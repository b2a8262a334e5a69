"""`report(runs, path)`: a page about runs, in one file."""

from memeval.results.report.page import Written, report

__all__ = ["Written", "report"]
