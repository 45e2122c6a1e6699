"""VLM families, each behind the Protocol of `base.py`."""
