"""Training questions drawn from captions."""

import pytest

pytest.importorskip("torch")

from myvlm_engine.pocket.dataset import CAPTION_PROMPT, load_examples, questions_from, tidy


def test_questions_need_two_captions_that_agree():
    asked = questions_from(["A black dog in the snow.", "A black dog runs in the snow.", "Two men watch."])
    assert asked["What color is the dog?"] == ["black"]
    assert asked["Where is this?"] == ["snow"]
    assert asked["Is there a cat in the photo?"] == ["no"]
    assert "How many men are there?" not in asked


def test_captions_become_sentences():
    assert tidy("a dog  runs .") == "A dog runs."


def test_captioned_folders_are_read(tmp_path):
    folder = tmp_path / "captions/flickr8k"
    folder.mkdir(parents=True)
    (folder / "captions.jsonl").write_text('{"image": "a.jpg", "captions": ["a dog runs ."], "split": "dev"}\n')
    examples = load_examples(tmp_path)
    assert [(e.source, e.split, e.answers) for e in examples] == [("flickr8k", "dev", {CAPTION_PROMPT: ["A dog runs."]})]
