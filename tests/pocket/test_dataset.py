"""Training questions drawn from captions."""

import pytest

pytest.importorskip("torch")

from myvlm_engine.pocket.dataset import CAPTION_PROMPT, in_pairs, load_examples, questions_from, tidy, with_article


def test_questions_need_two_captions_that_agree():
    asked = questions_from(["A black dog in the snow.", "A black dog runs in the snow.", "Two men watch."])
    assert asked["What color is the dog?"] == ["black"]
    assert asked["Where is this?"] == ["snow"]
    assert asked["Is there a cat in the photo?"] == ["no"]
    assert "How many men are there?" not in asked


def test_captions_become_sentences():
    assert tidy("a dog  runs .") == "A dog runs."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A photo of a sunglasses.", "A photo of a pair of sunglasses."),
        ("an old binoculars on a table", "a pair of old binoculars on a table"),
        ("A sunglasses case on a table.", "A sunglasses case on a table."),
        ("A man with sunglasses and a hat.", "A man with sunglasses and a hat."),
        ("A pair of sunglasses.", "A pair of sunglasses."),
        ("A dog with glasses.", "A dog with glasses."),
    ],
)
def test_things_in_pairs_have_no_article_of_their_own(text, said):
    assert in_pairs(text) == said


def test_labels_get_their_article():
    assert [with_article(n) for n in ("mug", "analog clock", "sunglasses")] == ["a mug", "an analog clock", "a pair of sunglasses"]


def test_captioned_folders_are_read(tmp_path):
    folder = tmp_path / "captions/flickr8k"
    folder.mkdir(parents=True)
    (folder / "captions.jsonl").write_text('{"image": "a.jpg", "captions": ["a dog runs ."], "split": "dev"}\n')
    examples = load_examples(tmp_path)
    assert [(e.source, e.split, e.answers) for e in examples] == [("flickr8k", "dev", {CAPTION_PROMPT: ["A dog runs."]})]
