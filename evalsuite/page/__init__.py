"""The elements of a report page: sections, tables, plots, HTML."""
