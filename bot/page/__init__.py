"""What `myvlm try` adds to SimCord's page, a tester's tool, for newcomers; playground.py serves it at the end of SimCord's own files."""
