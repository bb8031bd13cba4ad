"""Figures and pictures of the report, as SVG and PNG."""
