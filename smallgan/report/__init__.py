"""The comparison page: run folders become plain data, and the data one HTML file. Torch-free."""

from smallgan.report.collect import Report, collect, find_runs
from smallgan.report.render import render, write_report

__all__ = ["Report", "collect", "find_runs", "render", "write_report"]
