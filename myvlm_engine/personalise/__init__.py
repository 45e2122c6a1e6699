"""Learning a concept embedding on a frozen VLM, and answering with the embeddings that were learned."""
