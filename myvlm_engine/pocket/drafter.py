"""The drafter: a small captioner whose sentence the language model reads in its prompt, as a draft to write better.

A transformer of nine million numbers that reads the tower's features directly and knows three thousand words learns captioning
from few photos far quicker than the large language model does. Knows features and words; neither questions nor concepts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn
from transformers import LogitsProcessor, LogitsProcessorList

from .vision import TOKEN_CHANNELS

PAD, BEGIN, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
WIDTH, HEADS, FEED_FORWARD, ENCODER_LAYERS, DECODER_LAYERS = 384, 6, 1024, 1, 3
LEAST_USES = 4  # of a word in the training captions
MAX_WORDS = 18
BEAMS = 5
NEVER = -1e4  # logit of what is never said; part of the model, so that sampling, scoring and beam search agree


class Vocabulary:
    """Words and their ids; the first four are SPECIAL."""

    def __init__(self, words: Sequence[str]):
        self.words = tuple(words)
        self.ids = {w: i for i, w in enumerate(self.words)}

    @classmethod
    def of(cls, captions: Sequence[str]) -> Vocabulary:
        counts = Counter(w for c in captions for w in caption_words(c))
        return cls([*SPECIAL, *(w for w, n in counts.most_common() if n >= LEAST_USES)])

    def encode(self, caption: str) -> list[int]:
        """Ids of the words and END."""
        return [*(self.ids.get(w, UNKNOWN) for w in caption_words(caption)[:MAX_WORDS]), END]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.words[i] for i in ids if i > UNKNOWN)


def caption_words(caption: str) -> list[str]:
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", caption.lower())


class Drafter(nn.Module):
    """(B, 26, TOKEN_CHANNELS) tower features -> captions. mBART's encoder and decoder (pre-norm), so that transformers decodes."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, vocabulary: Vocabulary, dropout: float = 0.0):
        from transformers import MBartConfig, MBartForConditionalGeneration

        super().__init__()
        self.vocabulary = vocabulary
        self.register_buffer("mean", torch.zeros(TOKEN_CHANNELS))
        self.register_buffer("std", torch.ones(TOKEN_CHANNELS))
        self.input = nn.Linear(TOKEN_CHANNELS, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.lm = MBartForConditionalGeneration(
            MBartConfig(
                vocab_size=len(vocabulary.words),
                d_model=WIDTH,
                encoder_layers=ENCODER_LAYERS,
                decoder_layers=DECODER_LAYERS,
                encoder_attention_heads=HEADS,
                decoder_attention_heads=HEADS,
                encoder_ffn_dim=FEED_FORWARD,
                decoder_ffn_dim=FEED_FORWARD,
                max_position_embeddings=32,
                dropout=dropout,  # of what each layer adds; dropout elsewhere costs a fifth of the time
                scale_embedding=True,
                pad_token_id=PAD,
                bos_token_id=BEGIN,
                eos_token_id=END,
                decoder_start_token_id=BEGIN,
                forced_eos_token_id=None,
            )
        )
        self.lm.final_logits_bias[:, [PAD, UNKNOWN]] = NEVER

    def plain(self) -> dict[str, torch.Tensor]:
        """Every learned tensor once: mBART knows its word vectors by four names."""
        tied = (".embed_tokens.weight", "lm_head.weight", "final_logits_bias")
        return {name: value for name, value in self.state_dict().items() if not name.endswith(tied)}

    def load_plain(self, tensors: dict[str, torch.Tensor]) -> None:
        """Errors: KeyError where one is missing."""
        own = self.plain()
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(tensors[name])

    def encode(self, features: torch.Tensor):
        """(B, 26, TOKEN_CHANNELS) -> mBART's encoder output of (B, 26, 384)."""
        x = self.dropout(((features - self.mean) / self.std).clamp(-5, 5))
        return self.lm.get_encoder()(inputs_embeds=self.input(x))

    def logits(self, memory: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, 26, 384) encoder output and (B, T) ids ending in END, PAD behind -> (B, T, V)."""
        begin = torch.full_like(labels[:, :1], BEGIN)
        return self.lm(encoder_outputs=(memory,), decoder_input_ids=torch.cat([begin, labels[:, :-1]], 1)).logits

    def drafts(self, features: torch.Tensor, beside: Drafter | None = None) -> list[str]:
        """The likeliest caption of each photo, lower case, without a full stop; `beside`: by the mean of both drafters' probabilities."""
        both = LogitsProcessorList([Beside(beside, features)] if beside else [])
        ids = self.generate(features, num_beams=BEAMS, do_sample=False, logits_processor=both)
        return [self.vocabulary.decode(row) for row in ids.tolist()]

    @torch.no_grad()
    def generate(self, features: torch.Tensor, **how) -> torch.Tensor:
        """Token ids (B * num_return_sequences, T), the begin token left out."""
        return self.lm.generate(encoder_outputs=self.encode(features), max_new_tokens=MAX_WORDS + 1, **how)[:, 1:]


class Beside(LogitsProcessor):
    """A second drafter's say in every word: drafters trained from different first weights err differently."""

    def __init__(self, drafter: Drafter, features: torch.Tensor):
        """`features` (B, 26, TOKEN_CHANNELS) of the photos that are written about."""
        self.drafter, self.memory = drafter, drafter.encode(features).last_hidden_state

    @torch.no_grad()
    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(B * beams, T) ids so far and (B * beams, V) log-probabilities -> log of the mean of both drafters' probabilities."""
        memory = self.memory.repeat_interleave(len(input_ids) // len(self.memory), 0)
        logits = self.drafter.lm(encoder_outputs=(memory,), decoder_input_ids=input_ids).logits[:, -1]
        mixed = torch.logaddexp(scores.log_softmax(-1), logits.log_softmax(-1)) - math.log(2)
        return mixed  # type: ignore[return-value]
