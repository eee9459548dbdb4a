"""The report: model (what is shown, pure) -> figures (plotly) -> page; and papers."""
