"""The steps. A released one is never changed: what comes later is a new file."""
