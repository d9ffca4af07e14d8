"""dbops-tui: a terminal console that deploys, watches, diagnoses and mends Databricks bundles."""

__version__ = "0.1.0"
