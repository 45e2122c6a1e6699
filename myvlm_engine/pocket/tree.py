"""Many answers about one photo as one sequence: branches of a tree that share the photo's tokens and their prompt's.

A token sees its own branch and its ancestors, never a sibling, so a caption's loss is what it would be alone (a test holds
this). Five captions of a photo cost a fifth less than half of five sequences. Knows tokens, no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch

from .prompts import END, answer_opening

MAX_ANSWER_TOKENS = 40


@dataclass
class Tree:
    """`node[i]` is the branch of token i, `parents[n]` the branch that n grows from (-1: the root)."""

    ids: list[int] = field(default_factory=list)  # -1: a vector stands here (visual token, concept embedding)
    node: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    targets: list[tuple[int, int]] = field(default_factory=list)  # (token that predicts, token id it must predict)
    answers: list[int] = field(default_factory=list)  # per target: which answer it belongs to

    def branch(self, ids: Sequence[int], parent: int, start: int) -> int:
        self.parents.append(parent)
        self.ids += ids
        self.node += [len(self.parents) - 1] * len(ids)
        self.position += range(start, start + len(ids))
        return len(self.parents) - 1

    def mask(self) -> torch.Tensor:
        """(T, T) bool: who may look at whom."""
        count = len(self.parents)
        above = torch.eye(count, dtype=torch.bool)
        for n in range(count):
            if self.parents[n] >= 0:
                above[n] |= above[self.parents[n]]
        node = torch.tensor(self.node)
        return above[node][:, node].tril()


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def grow_tree(tokenizer, root: Sequence[int], answers: Mapping[str, Sequence[str]], start: int = 0) -> Tree:
    """root -> one branch per prompt -> one branch per answer. `start`: position of the root's first token."""
    tree, count = Tree(), 0
    tree.branch(root, -1, start)
    for prompt, texts in answers.items():
        opening = encode(tokenizer, answer_opening(prompt))
        asked = tree.branch(opening, 0, start + len(root))
        last = len(tree.ids) - 1
        for text in texts:
            ids = encode(tokenizer, text + END)[:MAX_ANSWER_TOKENS]
            first = len(tree.ids)
            tree.branch(ids[:-1], asked, start + len(root) + len(opening))  # the last token is only predicted
            tree.targets += [(last, ids[0]), *((first + i, ids[i + 1]) for i in range(len(ids) - 1))]
            tree.answers += [count] * len(ids)
            count += 1
    return tree


@dataclass(frozen=True)
class Batch:
    """Trees padded on the right to one length. B trees, T tokens, M targets."""

    ids: torch.Tensor  # (B, T) long, -1 vectors, 0 padding
    position: torch.Tensor  # (B, T)
    mask: torch.Tensor  # (B, T, T) bool
    rows: torch.Tensor  # (M,) index into the flattened (B * T) tokens
    labels: torch.Tensor  # (M,)
    answers: torch.Tensor  # (M,) running number of the answer over the whole batch

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, part.name).to(device) for part in fields(self)))


def collate(trees: Sequence[Tree], multiple: int = 1) -> Batch:
    """`multiple`: lengths are rounded up to it; matrix kernels are built anew for every shape."""
    length = -(-max(len(t.ids) for t in trees) // multiple) * multiple
    ids = torch.zeros(len(trees), length, dtype=torch.long)
    position = torch.zeros_like(ids)
    mask = torch.eye(length, dtype=torch.bool).repeat(len(trees), 1, 1)
    rows, labels, owners, before = [], [], [], 0
    for b, tree in enumerate(trees):
        n = len(tree.ids)
        ids[b, :n], position[b, :n] = torch.tensor(tree.ids), torch.tensor(tree.position)
        mask[b, :n, :n] = tree.mask()
        rows += [b * length + i for i, _ in tree.targets]
        labels += [label for _, label in tree.targets]
        owners += [before + a for a in tree.answers]
        before += tree.answers[-1] + 1 if tree.answers else 0
    return Batch(ids, position, mask, torch.tensor(rows), torch.tensor(labels), torch.tensor(owners))
