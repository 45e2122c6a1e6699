"""The schema's history: one file a step in versions/, run by sql/schema.py whenever a store is opened."""
