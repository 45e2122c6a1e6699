"""The evaluation's HTML file: whole in itself, every photo judged, nothing a name could break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engine_fakes import picture

from myvlm_engine.caption_scores import Called, Said
from myvlm_engine.report import Report, TaughtConcept, shown, write_report


@pytest.fixture
def report(tmp_path) -> Report:
    for name in ("taught.jpg", "a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(picture("teal", (400, 300)))
    concepts = [
        TaughtConcept("dog", Called("<Biscuit>", "dog"), (tmp_path / "taught.jpg",), 1.25, 63.0, "<Biscuit> runs."),
        TaughtConcept("mug", Called("Bertha", "mug"), (tmp_path / "taught.jpg",), 1.0, None),
    ]
    said = [
        Said("a.jpg", "dog", ("dog",), {"dog": 0.97}, "<Biscuit> & a ball.", "A dog & a ball.", 3.2),
        Said("b.jpg", None, ("mug",), {"mug": 0.61}, "Bertha on a table.", "A cup on a table.", 3.0),
    ]
    return Report("dreambooth", {"shots": "4"}, {"captions": {"name_recall": 0.5}}, concepts, said, tmp_path)


def test_the_file_holds_photos_sentences_and_figures_and_needs_no_other(report, tmp_path):
    path = tmp_path / "out/eval-report.html"
    write_report(report, path)
    page = path.read_text()
    assert page.count("data:image/jpeg;base64,") == 3  # the mug has no photo of its own here
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    for sentence in ("&lt;Biscuit&gt; &amp; a ball.", "A dog &amp; a ball.", "Bertha 0.61", "name_recall", "0.500", "learned after 63 s"):
        assert sentence in page
    assert "<Biscuit>" not in page


@pytest.mark.parametrize(
    ("text", "subject", "fired", "verdict"),
    [
        ("<Biscuit> runs.", "dog", ("dog",), "named"),
        ("A dog runs.", "dog", ("dog",), "missed"),
        ("A dog runs.", "dog", (), "unseen"),
        ("Bertha runs.", "dog", ("mug",), "wrong"),
        ("<Biscuit> and Bertha.", "dog", ("dog", "mug"), "wrong"),
        ("A table.", None, ("mug",), "quiet"),
        ("Bertha.", None, ("mug",), "wrong"),
    ],
)
def test_every_photo_is_judged(report, text, subject, fired, verdict):
    said = Said("a.jpg", subject, fired, dict.fromkeys(fired, 0.9), text, "A dog.", 1.0)
    assert shown(said, report).verdict == verdict


def test_photos_are_embedded_small(report):
    big = Path(report.folder) / "big.jpg"
    big.write_bytes(picture("navy", (3000, 2000)))
    assert len(shown(Said("big.jpg", None, (), {}, "", "", 0.0), report).photo) < 20_000
