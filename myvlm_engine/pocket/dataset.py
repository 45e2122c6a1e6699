"""What the embedded VLM is trained on: photos with captions, questions and labels, and their cached tower features.

Reads folders in the layout of captions.jsonl / qa.jsonl / labels.jsonl; knows nothing of the model that learns from them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from .prompts import Hints
from .vision import TOKEN_CHANNELS, VisionTower, half_is_fast, imagenet_names, square_pixels, tags_of
from .words import WordSpotter, load_spotter, word_shares, words_of_all

CAPTION_PROMPT = "Describe this photo."
PET_SENTENCES = ("A {} is looking at the camera.", "A close-up of a {}.", "A {} at home.")  # of photos with a label and no caption
TOKENS = 26
DRAFTS = "drafts.json"
CAPTIONED = ("flickr8k", "coco_mix")  # sources whose captions people wrote
COLOURS = ["black", "white", "red", "blue", "green", "yellow", "brown", "orange", "pink", "purple", "gray", "grey", "tan", "golden"]
NUMBERS = ["two", "three", "four", "five", "six"]
PLACES = "snow|water|grass|beach|street|pool|field|park|sand|road|ocean|lake|woods|river|forest|mountain|sidewalk"
# Things that come in pairs, with an adjective at most, where no noun follows ("a sunglasses case").
PAIR = re.compile(
    r"\b([Aa])n?(?= (?:[a-z-]+ )?(?:sunglasses|eyeglasses|glasses|goggles|binoculars|scissors|trousers|pants|jeans|shorts|trunks)"
    r"(?:[.,;]|$| (?:on|in|at|by|near|with|and|is|are|that|lies|lying|sitting)\b))"
)
ANIMALS = ["dog", "cat", "horse", "bird", "cow", "sheep", "bear", "elephant"]


@dataclass(frozen=True)
class Example:
    """One photo and what may be said of it: prompt -> the answers that are right for it."""

    image: Path
    source: str  # flickr8k, coco_mix, daquar, catsdogs, imagenet
    split: str  # train or dev
    answers: dict[str, list[str]] = field(hash=False)


def load_examples(photos: Path) -> list[Example]:
    """All examples below `photos` (the folder that holds captions/, vqa/ and negatives/); missing sets are left out."""
    found = [*_captioned(photos / "captions/flickr8k", "flickr8k"), *_captioned(photos / "captions/coco_mix", "coco_mix")]
    found += [*_questions(photos / "vqa/daquar"), *_labelled(photos / "negatives/catsdogs", "catsdogs")]
    return [*found, *_labelled(photos / "negatives/imagenet_sample", "imagenet")]


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()] if path.is_file() else []


def _held(index: int, every: int) -> str:
    return "dev" if index % every == 0 else "train"


def _captioned(folder: Path, source: str) -> Iterator[Example]:
    for index, row in enumerate(_rows(folder / "captions.jsonl")):
        split = row.get("split") or _held(index, 4)
        captions = [tidy(c) for c in row["captions"]]
        answers = {CAPTION_PROMPT: captions}
        if split != "dev":
            answers |= questions_from(captions)
        yield Example(folder / row["image"], source, "dev" if split == "dev" else "train", answers)


def _questions(folder: Path) -> Iterator[Example]:
    for index, row in enumerate(_rows(folder / "qa.jsonl")):
        answers = {_question(p["q"]): [p["a"].replace("_", " ").strip()] for p in row["qa"]}
        yield Example(folder / row["image"], "daquar", _held(index, 7), answers)


def _question(text: str) -> str:
    """DAQUAR writes 'what is on the left in the image10?'; a member wouldn't."""
    text = re.sub(r"\bthe image ?\d+\b|\bimage ?\d+\b", "the photo", text.strip(" ?\t")).strip()
    return text[:1].upper() + text[1:] + "?"


def _labelled(folder: Path, source: str) -> Iterator[Example]:
    for index, row in enumerate(_rows(folder / "labels.jsonl")):
        label = row["label"].replace("_", " ")
        answers = {CAPTION_PROMPT: [f"A photo of {with_article(label)}."], "What is in this photo?": [with_article(label)]}
        if label in ("cat", "dog"):
            other = "dog" if label == "cat" else "cat"
            answers |= {
                CAPTION_PROMPT: [sentence.format(label) for sentence in PET_SENTENCES],
                f"Is there a {label} in the photo?": ["yes"],
                f"Is there a {other} in the photo?": ["no"],
                "What animal is this?": [label],
            }
            if row.get("breed"):
                answers[f"What breed is the {label}?"] = [row["breed"].lower()]
        yield Example(folder / row["image"], source, _held(index, 20), answers)


def with_article(noun: str) -> str:
    """"a mug", "an analog clock", "a pair of sunglasses"."""
    return in_pairs(f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}")


def in_pairs(text: str) -> str:
    """"a pair of sunglasses" for "a sunglasses": what the model learned from labels."""
    return PAIR.sub(r"\1 pair of", text)


def labelled_pet(caption: str) -> str | None:
    """"cat" or "dog" where the caption is one of those that such photos were given: it tells what the label tells, and no more."""
    return next((pet for pet in ("cat", "dog") if caption in [sentence.format(pet) for sentence in PET_SENTENCES]), None)


def tidy(caption: str) -> str:
    """A caption as a sentence: capital first letter, no space before the full stop."""
    text = re.sub(r"\s+([.,;!?'])", r"\1", " ".join(caption.split())).strip().rstrip(".")
    return text[:1].upper() + text[1:] + "."


def questions_from(captions: list[str]) -> dict[str, list[str]]:
    """Short questions whose answers stand in at least two of the captions: colours, counts, what is there, where."""
    words = [re.findall(r"[a-z]+", c.lower()) for c in captions]
    asked: dict[str, dict[str, int]] = {}

    def vote(question: str, answer: str) -> None:
        asked.setdefault(question, {}).setdefault(answer, 0)
        asked[question][answer] += 1

    for caption in words:
        text = " ".join(caption)
        for colour, noun in set(re.findall(rf"\b({'|'.join(COLOURS)}) ([a-z]{{3,}})\b", text)):
            if noun not in COLOURS and noun not in ("and", "with", "haired", "colored", "dressed"):
                vote(f"What color is the {noun}?", "gray" if colour == "grey" else colour)
        for number, noun in set(re.findall(rf"\b({'|'.join(NUMBERS)}) ([a-z]+s|men|women|people|children)\b", text)):
            vote(f"How many {noun} are there?", number)
        for place in set(
            re.findall(
                rf"\b(?:in|on|at|through) (?:the |a )({PLACES})\b",
                text,
            )
        ):
            vote("Where is this?", place)
    for animal in ANIMALS:
        hits = sum(animal in c or animal + "s" in c for c in words)
        for _ in range(hits):
            vote(f"Is there a {animal} in the photo?", "yes")
            vote("What animal is this?", animal)
        if hits == 0 and animal in ("dog", "cat"):
            vote(f"Is there a {animal} in the photo?", "no")
            vote(f"Is there a {animal} in the photo?", "no")
    people = sum(
        bool({"man", "woman", "boy", "girl", "people", "child", "men", "women", "person", "children", "boys", "girls"} & set(c))
        for c in words
    )
    vote("Is there a person in the photo?", "yes" if people else "no")
    if people in (0, len(words)):
        vote("Is there a person in the photo?", "yes" if people else "no")
    best = {q: max(votes.items(), key=lambda v: v[1]) for q, votes in asked.items()}
    return {q: [answer] for q, (answer, count) in best.items() if count >= 2}


@dataclass(frozen=True)
class Features:
    """Cached tower features of every example: arrays on disk, opened without reading them."""

    tokens: np.ndarray  # (N, views, 26, TOKEN_CHANNELS) float16
    tags: list[list[str]]  # N
    words: list[list[str]]  # N: what words.py finds, for training photos by folds that left them out
    drafts: list[str]  # N: what drafter.py writes; empty before it is trained

    def hints(self, i: int) -> Hints:
        return Hints(self.tags[i], self.words[i], self.drafts[i])


def views_of(image: Image.Image, index: int, count: int) -> list[torch.Tensor]:
    """The photo itself, its mirror image, then mild random crops (seeded by the photo's index)."""
    rng, views = random.Random(index), []
    for view in range(count):
        frame = image
        if view >= 2:
            scale = rng.uniform(0.75, 0.95)
            w, h = image.width * scale, image.height * scale
            x, y = rng.uniform(0, image.width - w), rng.uniform(0, image.height - h)
            frame = image.crop((int(x), int(y), int(x + w), int(y + h)))
        views.append(square_pixels(frame).flip(-1) if view % 2 else square_pixels(frame))
    return views


def cache_features(examples: list[Example], folder: Path, views: int = 6, batch: int = 8) -> tuple[Features, WordSpotter]:
    """Runs the tower once over every example; what an earlier run finished is kept."""
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    half = half_is_fast()
    shape = (len(examples), views, TOKENS, TOKEN_CHANNELS)
    path, done_path, tags_path = folder / "tokens.npy", folder / "done.json", folder / "tags.jsonl"
    done = json.loads(done_path.read_text())["done"] if done_path.exists() else 0
    tokens = np.lib.format.open_memmap(path, mode="r+" if done else "w+", dtype=np.float16, shape=shape)
    if done < len(examples):
        tower, names = VisionTower(), imagenet_names()
        kept = tags_path.read_text().splitlines()[:done] if done else []
        tags_path.write_text("".join(line + "\n" for line in kept))
        for start in tqdm(range(done, len(examples), batch), desc="features", mininterval=10):
            chunk = examples[start : start + batch]
            frames = [view for i, e in enumerate(chunk) for view in views_of(Image.open(e.image), start + i, views)]
            found, probabilities = tower.tokens(torch.stack(frames), half)
            tokens[start : start + len(chunk)] = found.reshape(len(chunk), views, TOKENS, -1).half().numpy()
            firsts = probabilities.reshape(len(chunk), views, -1)[:, 0]
            with tags_path.open("a") as out:
                out.writelines(json.dumps(tags_of(p, names)) + "\n" for p in firsts)
            done_path.write_text(json.dumps({"done": start + len(chunk)}))
    spotter, words = cache_words(tokens, examples, folder)
    tags = [json.loads(line) for line in tags_path.read_text().splitlines()]
    drafts_path = folder / DRAFTS
    drafts = json.loads(drafts_path.read_text()) if drafts_path.exists() else [""] * len(examples)
    return Features(tokens, tags, words, drafts), spotter


def captioned_rows(examples: list[Example]) -> list[int]:
    """Training photos whose captions people wrote."""
    return [i for i, e in enumerate(examples) if e.source in CAPTIONED and e.split == "train"]


def caption_shares(examples: list[Example], rows: list[int], vocabulary: Sequence[str]) -> torch.Tensor:
    """(rows, V): the share of a photo's captions that use each word."""
    return word_shares([examples[i].answers[CAPTION_PROMPT] for i in rows], vocabulary)


def cache_words(tokens: np.ndarray, examples: list[Example], folder: Path) -> tuple[WordSpotter, list[list[str]]]:
    spotter_path, words_path = folder / "spotter.safetensors", folder / "words.json"
    if not words_path.exists():
        captions = [e.answers[CAPTION_PROMPT] if e.source in CAPTIONED else [] for e in examples]
        spotter, words = words_of_all(tokens, captions, captioned_rows(examples))
        save_file(spotter.tensors(), spotter_path, metadata={"vocabulary": json.dumps(spotter.vocabulary)})
        words_path.write_text(json.dumps(words))
    return load_spotter(spotter_path), json.loads(words_path.read_text())
