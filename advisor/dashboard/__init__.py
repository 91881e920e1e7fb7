"""The Streamlit dashboard: pages over the same info functions the command line prints. Imports nothing heavy here."""
