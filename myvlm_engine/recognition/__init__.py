"""Recognition: photos to region vectors (encoders), taught photos to heads, and the bundled negative bank."""
