"""One file a command group: what a person typed in, what the bot does, in which order. Sentences and looks come from elsewhere."""
