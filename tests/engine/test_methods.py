"""Methods that are compared, composites, wrong references and intervals: each on its own, on small models."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from engine_fakes import Teacher, fake_engine, picture
from PIL import Image
from rich.console import Console

from myvlm_engine.caption_scores import Called
from myvlm_engine.comparison import COMPARED, Interval, as_json, interval, row, show_comparison
from myvlm_engine.composites import Found, composite_scores, grouped, put_together
from myvlm_engine.concept_embedding import ConceptEmbedding
from myvlm_engine.concept_trial import Enrolled, Learned, Photo, handed_in, learn
from myvlm_engine.engine import Engine
from myvlm_engine.evaluation import eval_compare, numbers, plan_of
from myvlm_engine.messages import KnownConcept, NamedConcept
from myvlm_engine.methods import METHODS, engine_for, method_named
from myvlm_engine.photo_sets import CantMeasure, Split, Subject
from myvlm_engine.wrong_reference import QUESTIONS, nested, wrong_references

NAMES = {"dog1": "Biscuit", "dog2": "Rex", "mug": "Bertha"}


# -- methods
def test_each_method_changes_its_part_of_the_engine_and_nothing_else():
    whole = fake_engine(Teacher(steps=1))
    for name, method in METHODS.items():
        if method.clip:
            continue
        parts = engine_for(whole, method).parts
        assert parts.vlm.norm_matching is (name not in ("no-norm", "textual-inversion"))
        assert (parts.answer is whole.parts.answer) is method.guided
        assert (parts.learn_concept is whole.parts.learn_concept) is not method.training
        assert parts.encoders is whole.parts.encoders
    assert whole.parts.vlm.norm_matching is True


def test_a_method_trains_with_its_own_settings(concepts):
    teacher = Teacher(steps=1)
    learn(engine_for(fake_engine(teacher), METHODS["no-augmentation"]), concepts["dog1"], 0)
    assert teacher.given["augmented_per_photo"] == 0 and "regulariser" not in teacher.given


def test_a_vlm_that_can_t_do_without_norm_matching_says_so():
    engine = Engine(replace(fake_engine().parts, vlm=SimpleNamespace(name="strict")))
    with pytest.raises(CantMeasure, match="strict can't be measured without norm matching"):
        engine_for(engine, METHODS["no-norm"])


def test_textual_inversion_is_refused_where_nothing_that_is_learned_can_be_a_word():
    """BLIP-2's concepts stand before the Q-Former and are rescaled there: what would be measured isn't what the help says."""
    plain = fake_engine(Teacher(steps=1))
    elsewhere = SimpleNamespace(name="blip2-opt-2.7b", norm_matching=True, among_words=False)
    engine = Engine(replace(plain.parts, vlm=elsewhere))
    with pytest.raises(CantMeasure, match=r"in blip2-opt-2\.7b what is learned stands behind .* Leave out textual-inversion"):
        engine_for(engine, METHODS["textual-inversion"])
    assert [name for name, method in METHODS.items() if method.word] == ["textual-inversion"]
    for name in ("myvlm", "no-norm", "no-head"):
        engine_for(engine, METHODS[name])
    engine_for(plain, METHODS["textual-inversion"])


def test_a_method_nobody_knows_is_told():
    with pytest.raises(CantMeasure, match=r"There is no method 'magic'\. Known: myvlm, no-guidance"):
        method_named("magic")


def test_without_heads_the_photo_s_own_concept_is_among_the_four_that_are_handed_in():
    learned = {name: Learned("", None, 0.0) for name in "abcdef"}
    firsts = set()
    for number in range(20):
        found = handed_in(learned, 0)(Photo(f"{number}.jpg", None, "c"), "")
        assert len(found) == 4 and "c" in {m.subject for m in found}
        firsts.add(found[0].subject)
    assert len(firsts) > 2
    assert len(handed_in(learned, 0)(Photo("n.jpg", None, None), "")) == 4


# -- what was typed
def test_lists_of_numbers_are_read():
    assert numbers("1,2, 4") == [1, 2, 4]
    plan = plan_of("myvlm,no-norm", "1,4", composites="2,4")
    assert plan.runs == [("myvlm", 1), ("myvlm", 4), ("no-norm", 1), ("no-norm", 4)] and plan.composites == [2, 4]
    assert plan_of().runs == [("myvlm", None)]


@pytest.mark.parametrize("text", ["four", "0", "1,,2", "-3"])
def test_what_is_no_list_of_numbers_is_told(text):
    with pytest.raises(CantMeasure, match="isn't a list of numbers"):
        numbers(text)


def test_no_more_subjects_are_put_together_than_an_answer_holds():
    with pytest.raises(CantMeasure, match="from 2 to 4 subjects"):
        plan_of(composites="2,5")


# -- composites
def test_composites_hold_different_subjects_and_no_photo_twice(tmp_path):
    photos = [(f"s{n % 5}", tmp_path / f"{n}.jpg") for n in range(23)]
    for size in (2, 3, 4):
        made = grouped(photos, size, seed=1)
        used = [p for one in made for p in one.photos]
        assert all(len(set(one.subjects)) == size for one in made)
        assert len(used) == len(set(used)) and len(used) > 23 - 2 * size
        assert all((s, p) in photos for one in made for s, p in zip(one.subjects, one.photos, strict=True))
    assert grouped(photos, 2, seed=1) == grouped(photos, 2, seed=1) and len(grouped(photos, 2, 1, at_most=3)) == 3


@pytest.mark.parametrize(
    ("count", "centres"), [(2, [(256, 384), (768, 384)]), (3, [(256, 256), (768, 256), (512, 768)]), (4, [(256, 256), (768, 768)])]
)
def test_every_subject_stands_whole_in_its_place(count, centres):
    colours = ["red", "lime", "blue", "yellow"][:count]
    image = put_together([Image.new("RGB", (300, 200), c) for c in colours])
    assert image.size == (1024, 768 if count == 2 else 1024)
    shown = [colours[0], colours[-1]] if count == 4 else colours
    assert [image.getpixel(at) for at in centres] == [Image.new("RGB", (1, 1), c).getpixel((0, 0)) for c in shown]


def test_composites_are_scored_by_pairs():
    two = frozenset({"a", "b"})
    found = [Found(two, two, two), Found(two, frozenset({"a", "c"}), frozenset({"a"}))]
    scores = composite_scores(found)
    assert (scores["name_recall"], scores["name_precision"]) == (3 / 4, 1.0)
    assert scores["name_f1"] == pytest.approx(6 / 7) and scores["recognition_f1"] == pytest.approx(3 / 4)
    assert scores["all_named"] == 1 / 2


# -- wrong references
@pytest.fixture
def concepts(tmp_path) -> dict[str, Enrolled]:
    found = {}
    for name, called in NAMES.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(picture())
        subject = Subject(name, "object", "ball", (path, path))
        found[name] = Enrolled(Split(subject, (path,), (path,)), Called(called, "ball"), (None,), 0.0)
    return found


def test_answers_that_say_an_absent_name_are_found(concepts):
    rng = random.Random(0)

    def careless(vlm, view, question, fired, absent):
        text = f"Here is {rng.choice(absent)}" if rng.random() < 0.25 else " and ".join(c.name for c in fired)
        return text, "", [NamedConcept(name=c.name, how="embedding") for c in fired]

    engine = fake_engine(Teacher(steps=1), careless)
    learned = {name: learn(engine, c, 0) for name, c in concepts.items()}
    photos = [Photo("p.jpg", concepts["mug"].split.held[0], "mug")]
    said = list(wrong_references(engine, concepts, learned, photos, 200, seed=0))
    assert 25 < sum(name is not None for name in said) < 80
    longer = {f"{name} Ball" for name in NAMES.values()}
    assert {name for name in said if name} <= {*NAMES.values(), *longer} and longer & {*said}


def test_absent_ones_have_longer_and_shorter_names_than_whoever_may_be_named(concepts):
    joe = concepts["dog1"]
    concepts["dog1"] = replace(joe, called=Called("Corgi Joe", "ball"))

    def careless(vlm, view, question, fired, absent):
        return "Here is a Corgi Joe ball with Joe.", "", [NamedConcept(name=c.name, how="embedding") for c in fired]

    engine = fake_engine(Teacher(steps=1), careless)
    photos = [Photo("p.jpg", concepts["mug"].split.held[0], "mug")]
    said = list(wrong_references(engine, concepts, learned_by(engine, concepts), photos, 24, seed=0))
    assert set(said) == {"Corgi Joe", "Corgi Joe Ball"}
    assert nested(KnownConcept(name="Corgi Joe", class_noun="dog")) == ["Corgi Joe Dog", "Joe"]
    assert nested(KnownConcept(name="Rex", class_noun="dog")) == ["Rex Dog"]


def noted(given: list):
    """An answer that names nobody, and writes down what it was asked."""

    def noting(vlm, view, question, fired, absent):
        given.append((question, [(c.name, c.embedding.tobytes()) for c in fired], absent))
        return "A ball.", "A ball.", [NamedConcept(name=c.name, how="missing") for c in fired]

    return noting


def learned_by(engine, concepts):
    """Vectors of its own for each."""
    found = {}
    for number, (name, c) in enumerate(concepts.items()):
        vectors = np.full((1, engine.parts.vlm.width), number + 1, dtype=np.float32)
        own = ConceptEmbedding(vectors, engine.vlm_fingerprint, c.called.name, c.called.class_noun).to_bytes()
        found[name] = replace(learn(engine, c, 0), embedding=base64.b64encode(own).decode())
    return found


def test_another_s_embedding_comes_under_each_name_and_nobody_is_told_twice(concepts):
    given = []
    engine = fake_engine(Teacher(steps=1), noted(given))
    photos = [Photo(name, c.split.held[0], name) for name, c in list(concepts.items())[:2]]
    assert list(wrong_references(engine, concepts, learned_by(engine, concepts), photos, 24, 0)) == [None] * 24
    assert all({name for name, _ in fired} | set(absent) >= set(NAMES.values()) for _, fired, absent in given)
    assert all({f"{name} Ball" for name, _ in fired} == set(absent) - set(NAMES.values()) for _, fired, absent in given)
    for of_one in (given[:12], given[12:]):
        assert [len(fired) for _, fired, _ in of_one] == [0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1]
        assert len({fired[0] for _, fired, _ in of_one if fired}) > 3  # six pairs of three concepts
        assert sum(question is None for question, _, _ in of_one) == 4
        assert len({(question, *fired) for question, fired, _ in of_one}) == 12


def test_where_nothing_was_learned_heads_are_off_all_the_same(concepts):
    given = []
    engine = fake_engine(Teacher(steps=1), noted(given))
    photos = [Photo("mug", concepts["mug"].split.held[0], "mug")]
    assert list(wrong_references(engine, concepts, {}, photos, 12, 0)) == [None] * 12
    assert not any(fired for _, fired, _ in given) and {question for question, _, _ in given} == set(QUESTIONS)


def test_each_photo_is_seen_once(concepts, monkeypatch):
    engine, seen = fake_engine(Teacher(steps=1)), []
    views = engine.parts.vlm.views
    monkeypatch.setattr(engine.parts.vlm, "views", lambda images: seen.extend(images) or views(images))
    photos = [Photo("mug", concepts["mug"].split.held[0], "mug")]
    assert len(list(wrong_references(engine, concepts, learned_by(engine, concepts), photos, 12, 0))) == 12 and len(seen) <= 2


# -- intervals
def test_intervals_are_student_s():
    assert interval([0.9]) == Interval(0.9, None)
    found = interval([0.8, 0.9, 1.0])  # s = 0.1, t(2) = 4.303
    assert found.mean == pytest.approx(0.9) and found.half_width == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert str(found) == "0.900 ± 0.248" and str(interval([0.5])) == "0.500"


def test_a_row_holds_what_is_compared():
    figures = {name: 0.5 for name in (*COMPARED, "more")}
    assert set(row("myvlm", 4, {0: figures, 1: figures}).figures) == set(COMPARED)


def test_photos_of_several_are_compared_where_every_seed_has_them(capsys):
    plain, both = dict.fromkeys(COMPARED, 0.5), dict.fromkeys((*COMPARED, "name_f1_of_4", "name_f1_of_2"), 0.25)
    assert list(row("myvlm", None, {0: both}).figures) == [*COMPARED, "name_f1_of_2", "name_f1_of_4"]
    assert list(row("myvlm", None, {0: both, 1: plain}).figures) == list(COMPARED)
    show_comparison([row("no-head", None, {0: plain}), row("myvlm", None, {0: both})], Console(width=80))
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["no-head", *["0.500"] * 5] in told and ["myvlm", *["0.250"] * 7] in told


def written(folder, name, per_seed, method="myvlm"):
    file = folder / name
    figures = {seed: dict.fromkeys(COMPARED, value) for seed, value in per_seed.items()}
    file.write_text(json.dumps({"comparison": as_json([row(method, None, figures)])}))
    return file


def test_seeds_of_several_runs_become_one_table(tmp_path):
    runs = {"b.json": ({2: 1.0}, "myvlm"), "a.json": ({0: 0.8, 1: 0.9}, "myvlm"), "c.json": ({0: 0.5}, "no-head")}
    files = [written(tmp_path, name, *run) for name, run in runs.items()]
    found = eval_compare(files, tmp_path / "all.json")["comparison"]
    assert [one["method"] for one in found] == ["myvlm", "no-head"] and list(found[0]["per_seed"]) == [0, 1, 2]
    assert found[0]["name_f1"]["mean"] == pytest.approx(0.9) and found[0]["name_f1"]["ci95"] == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert eval_compare([tmp_path / "all.json"])["comparison"] == found  # a table of tables


def test_a_narrow_terminal_shows_whose_row_it_is_and_every_figure_whole(capsys):
    rows = [row("name-substitution", None, {0: dict.fromkeys(COMPARED, 0.123), 1: dict.fromkeys(COMPARED, 0.456)})]
    show_comparison(rows, Console(width=80))
    told = capsys.readouterr().out
    assert "name-substitution" in told and "…" not in told and "recognised" in told
    assert "shots" not in told  # as many as each subject has


def test_numbers_of_shots_stand_in_the_table_where_there_are_several(capsys):
    show_comparison([row("myvlm", shots, {0: dict.fromkeys(COMPARED, 0.5)}) for shots in (1, 4)], Console(width=80))
    told = capsys.readouterr().out
    assert "shots" in told and [line.split()[:2] for line in told.splitlines() if "myvlm" in line] == [["myvlm", "1"], ["myvlm", "4"]]


def test_a_seed_that_two_runs_have_is_told(tmp_path):
    files = [written(tmp_path, "a.json", {0: 0.8, 1: 0.9}), written(tmp_path, "b.json", {1: 1.0})]
    with pytest.raises(CantMeasure, match=r"b\.json has seed 1 of myvlm, which another of the files has too\. Leave one of them out"):
        eval_compare(files)


@pytest.mark.parametrize("text", ["{}", "[]", "not json", None, '{"comparison": [{"method": "myvlm", "shots": null}]}'])
def test_a_file_without_a_comparison_is_told(tmp_path, text):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(CantMeasure, match=r"a\.json holds no comparison \(\w+\)\. Give files that `myvlm eval concepts"):
        eval_compare([tmp_path / "a.json"])


# -- clip-text
def test_a_word_in_clip_s_text_space_tells_its_photos_from_others():
    torch = pytest.importorskip("torch")
    open_clip = pytest.importorskip("open_clip")
    from myvlm_engine.clip_text import Clip, learn_word

    torch.manual_seed(0)
    text = open_clip.model.CLIPTextCfg(context_length=16, vocab_size=49408, width=32, heads=2, layers=1)
    vision = open_clip.model.CLIPVisionCfg(layers=1, width=32, head_width=16, patch_size=16, image_size=32)
    model = open_clip.model.CLIP(16, vision, text).eval().requires_grad_(False)
    clip = Clip(model, None, open_clip.SimpleTokenizer(context_length=16))
    before = model.token_embedding.weight.clone()
    taught = torch.nn.functional.normalize(torch.randn(3, 16), dim=-1)
    others = torch.nn.functional.normalize(torch.randn(20, 16), dim=-1)
    plain = clip.text("dog", clip.starting_word("dog"))
    word = learn_word(clip, "dog", taught, others)
    assert (taught @ word.text).mean() > (taught @ plain).mean() + 0.1
    assert float((taught @ word.text).mean()) > float((others @ word.text).mean())
    assert torch.equal(model.token_embedding.weight, before)


def test_where_clip_s_weights_are_missing_a_sentence_says_so(monkeypatch):
    open_clip = pytest.importorskip("open_clip")
    from myvlm_engine.clip_text import load_clip

    def offline(*args, **more):
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", offline)
    with pytest.raises(CantMeasure, match=r"clip-text needs open_clip's weights ViT-B-32.*leave out clip-text"):
        load_clip()
