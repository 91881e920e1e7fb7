"""Streamlit entry: `streamlit run app.py`, optionally followed by `-- FOLDER` with the runs."""

from advisor.dashboard.main import render

render()
