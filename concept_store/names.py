"""When two names are the same name. Knows nothing of concepts or scopes."""

from __future__ import annotations

import unicodedata

VARIATION = {0xFE0E: None, 0xFE0F: None}  # say only whether an emoji is coloured; telephones add them


def name_key(name: str) -> str:
    """Equal for names that differ in case, in spaces or only in how Unicode writes them; accents make a difference."""
    # twice NFKC: casefold can leave a text that isn't normalised any more (Unicode 3.13, D146)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.translate(VARIATION)).casefold())
    return " ".join(folded.split())
