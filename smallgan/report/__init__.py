"""The comparison page: runs and studies become plain data, and the data one HTML file. Torch-free."""

from smallgan.report.collect import Report, collect, find_runs
from smallgan.report.export import write_export
from smallgan.report.render import render, write_report

__all__ = ["Report", "collect", "find_runs", "render", "write_export", "write_report"]
