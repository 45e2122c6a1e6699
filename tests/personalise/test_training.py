"""The training loop on a small differentiable VLM: what is learned from, what is judged on, when it stops, where it goes on."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from myvlm_engine.concept_embedding import ConceptEmbedding, read_embedding  # noqa: E402
from myvlm_engine.engine import Engine, Parts  # noqa: E402
from myvlm_engine.errors import BadRequest  # noqa: E402
from myvlm_engine.messages import TaughtPhoto, TeachRequest  # noqa: E402
from myvlm_engine.personalise.targets import Drafts, Sentence, draft_answers, draft_captions  # noqa: E402
from myvlm_engine.personalise.training import Options, Together, learn_concept, options_for, start  # noqa: E402
from myvlm_engine.vlms.base import Decoding, Losses, View  # noqa: E402

OPTIONS = Options(steps=40)


@dataclass
class Pointed:
    """Says the name once e points the right way, on every view a little differently. Remembers what it was asked."""

    name, fingerprint, width, embedding_norm = "pointed", "pointed-0", 8, 1.0
    says_name: bool = True
    encoded: int = 0
    learned_from: set[int] = field(default_factory=set)
    judged_on: set[int] = field(default_factory=set)
    attention_asked: bool = False
    prompts: set[str | None] = field(default_factory=set)

    def views(self, images):
        self.encoded += len(images)
        return [View(torch.randn(8, generator=torch.Generator().manual_seed(i)) / 20, image.size) for i, image in enumerate(images)]

    def starting_vectors(self, name, class_noun):
        return torch.ones(1, 8)

    def certainty(self, view, concepts):
        aim = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1]) + view.state
        return torch.sigmoid(4 * torch.nn.functional.cosine_similarity(concepts.mean(0), aim, dim=0))

    def losses(self, views, targets, concepts, identifier, attention):
        self.prompts.update(t.prompt for t in targets if concepts.requires_grad)
        (self.learned_from if concepts.requires_grad else self.judged_on).update(t.view for t in targets)
        self.attention_asked |= attention
        sure = torch.stack([self.certainty(views[t.view], concepts) for t in targets])
        return Losses(-sure.log(), torch.zeros(len(targets)), sure.detach())

    def candidates(self, view, prompt, concepts, decoding=Decoding()):
        sure = len(concepts) and self.says_name and self.certainty(view, concepts) > 0.5
        return [decoding.opening + " runs." if decoding.opening else "Biscuit runs." if sure else "A dog runs."] * decoding.candidates


def taught(vlm, photos: int, **more):
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue", "white")[:photos]]
    return list(learn_concept(vlm, pictures, "Biscuit", "dog", **{"options": OPTIONS} | more))


@pytest.mark.parametrize("photos", [1, 2, 3, 4])
def test_any_number_of_photos_teaches_and_stops_when_the_held_copies_are_named(photos):
    vlm = Pointed()
    events = taught(vlm, photos)
    assert events[-1].stage == "done" and events[-1].sample == "Biscuit runs."
    assert max(e.step for e in events if e.stage == "learning") < OPTIONS.steps
    assert events[-1].vector.shape == (1, 8) and events[-1].vector.dtype == np.float32


def test_held_copies_are_judged_on_and_never_learned_from():
    vlm = Pointed()
    taught(vlm, 3, early_stop=False)
    assert vlm.encoded == 12  # each photo, two copies and a held one
    assert vlm.learned_from == set(range(9)) and vlm.judged_on == {9, 10, 11}


def test_it_goes_on_while_the_vlm_doesn_t_say_the_name():
    events = taught(Pointed(says_name=False), 2)
    assert max(e.step for e in events if e.stage == "learning") == OPTIONS.steps


def test_without_augmentation_only_the_photos_are_learned_from():
    vlm = Pointed()
    taught(vlm, 2, augmented_per_photo=0)
    assert vlm.learned_from == {0, 1} and vlm.judged_on == {2, 3}


def test_attention_is_only_asked_for_where_the_regulariser_counts():
    regular, without = Pointed(), Pointed()
    taught(regular, 1)
    taught(without, 1, regulariser=0.0)
    assert (regular.attention_asked, without.attention_asked) == (True, False)


# -- going on
def told_at(events, step):
    return next(e for e in events if e.stage == "learning" and e.step == step)


def gone_on(vlm, kept, photos: int = 2, **more):
    return taught(vlm, photos, resume=kept.vector, standing=kept.standing, **more)


def steps_of(events):
    return [e.step for e in events if e.stage == "learning"]


@pytest.mark.parametrize("rate", [0.1, 1.0])
@pytest.mark.parametrize("at", [1, 5, 33, 35, 40])
def test_a_broken_off_run_goes_on_from_its_step_and_becomes_what_it_would_have_become(at, rate):
    options = replace(OPTIONS, rate=rate)
    whole = taught(Pointed(says_name=False), 2, options=options)
    again = gone_on(Pointed(says_name=False), told_at(whole, at), options=options)
    assert steps_of(again) == list(range(at + 1, 41))
    assert all(e.step >= at for e in again)  # nobody who reads the progress sees it begin anew
    for one, other in zip([e for e in whole if e.step > at and e.stage == "learning"], again[-len(steps_of(again)) - 1 : -1], strict=True):
        assert one.loss == other.loss
        np.testing.assert_array_equal(one.vector, other.vector)
    np.testing.assert_array_equal(whole[-1].vector, again[-1].vector)
    assert whole[-1].sample == again[-1].sample


def test_it_stops_where_it_would_have_stopped():
    slow = replace(OPTIONS, rate=0.003)
    whole = taught(Pointed(), 2, options=slow)
    last = steps_of(whole)[-1]
    assert 5 < last < OPTIONS.steps
    again = gone_on(Pointed(), told_at(whole, 5), options=slow)
    assert steps_of(again)[-1] == last and again[-1].sample == "Biscuit runs."
    assert steps_of(gone_on(Pointed(), told_at(whole, last), options=slow)) == []  # it was as good as done


def test_what_was_kept_is_only_replaced_by_something_better():
    whole = taught(Pointed(says_name=False), 2)
    kept = told_at(whole, 35)
    wild = gone_on(Pointed(says_name=False), kept, options=replace(OPTIONS, rate=30.0))  # every step leads far away
    assert steps_of(wild) == list(range(36, 41))
    np.testing.assert_array_equal(wild[-1].vector, kept.vector)
    assert not np.array_equal(taught(Pointed(says_name=False), 2, rate=30.0, resume=kept.vector)[-1].vector, kept.vector)


def test_a_step_that_was_left_out_is_left_out_of_the_optimiser_s_count_too():
    class Overflowing(Pointed):
        def losses(self, views, targets, concepts, identifier, attention):
            found = super().losses(views, targets, concepts, identifier, attention)
            self.seen = getattr(self, "seen", 0) + concepts.requires_grad
            lost = torch.nan if concepts.requires_grad and self.seen == 3 else 1.0
            return Losses(found.cross_entropy * lost, found.attention, found.name_probability)

    whole = taught(Overflowing(says_name=False), 2)
    kept = told_at(whole, 10)
    assert (kept.standing.step, kept.standing.updates) == (10, 9)
    np.testing.assert_array_equal(gone_on(Pointed(says_name=False), kept)[-1].vector, whole[-1].vector)


def test_a_run_that_only_its_vectors_are_left_of_begins_anew_from_them():
    """As it was kept before engines told where they stand."""
    whole = taught(Pointed(), 2)
    kept = told_at(whole, 5).vector
    again = taught(Pointed(), 2, resume=kept)
    assert steps_of(again)[0] == 1 and steps_of(again)[-1] <= steps_of(whole)[-1] and again[-1].sample == "Biscuit runs."
    assert not np.array_equal(kept, again[-1].vector)


def test_where_a_run_stands_is_a_copy():
    """Events wait while others' steps go on."""
    whole = taught(Pointed(says_name=False), 2)
    currents = [e.standing.current for e in whole if e.stage == "learning"]
    assert len({c.tobytes() for c in currents}) == len(currents) and whole[-1].standing is None


def engine_of(vlm):
    """A new one, as after a restart."""
    return Engine(Parts(vlm, [], None, lambda *given, **more: learn_concept(*given, **more, options=OPTIONS), None))


def request_of(**more):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    photos = [TaughtPhoto(photo=base64.b64encode(file.getvalue()).decode())]
    return TeachRequest(**{"name": "Biscuit", "class_noun": "dog", "kind": "pet", "photos": photos} | more)


def test_a_restarted_engine_goes_on_from_the_last_bytes_it_sent():
    whole = list(engine_of(Pointed(says_name=False)).teach(request_of()))
    kept = told_at(whole, 35)
    again = list(engine_of(Pointed(says_name=False)).teach(request_of(resume=kept.embedding)))
    assert steps_of(again) == [36, 37, 38, 39, 40]
    read = lambda event: read_embedding(base64.b64decode(event.embedding), "pointed-0", 8)
    assert again[-1].stage == "done" and np.array_equal(read(again[-1]).vectors, read(whole[-1]).vectors)
    assert read(kept).standing.step == 35 and read(again[-1]).standing is None


def test_what_was_learned_for_another_name_is_only_a_beginning():
    kept = told_at(list(engine_of(Pointed(says_name=False)).teach(request_of())), 35)
    for other in ({"name": "Rex"}, {"class_noun": "puppy"}):
        again = list(engine_of(Pointed(says_name=False)).teach(request_of(resume=kept.embedding, **other)))
        assert steps_of(again) == list(range(1, 41))


def test_bytes_that_don_t_tell_where_a_run_stands_are_refused():
    standing = told_at(taught(Pointed(says_name=False), 2), 35).standing
    data = lambda **changes: ConceptEmbedding(standing.current, "pointed-0", "Biscuit", "dog", replace(standing, **changes)).to_bytes()
    assert read_embedding(data(sample="Bìscuit 犬"), "pointed-0", 8).standing.sample == "Bìscuit 犬"
    wrong = [{"step": -1}, {"step": 1.5}, {"updates": "3"}, {"score": float("nan")}, {"score": None}, {"sample": None}]
    wrong += [{"mean": standing.mean * np.nan}, {"square": standing.square - 1}, {"current": standing.current[:, :4]}]
    for changes in wrong:
        with pytest.raises(BadRequest):
            read_embedding(data(**changes), "pointed-0", 8)


def test_a_step_beyond_the_last_ends_at_once():
    kept = told_at(taught(Pointed(says_name=False), 2), 35)
    again = gone_on(Pointed(says_name=False), replace(kept, standing=replace(kept.standing, step=10**9)))
    assert steps_of(again) == [] and again[-1].stage == "done"


def test_chance_begins_with_the_length_that_the_paper_s_learning_rate_belongs_to():
    vlm = Pointed()
    vlm.starting_vectors, vlm.embedding_norm = (lambda name, class_noun: None), 900.0  # a real tower's tokens may be that long
    begun = start(vlm, "Biscuit", "dog", None, seed=0)
    assert begun.shape == (1, 8) and begun.min() >= 0 and begun.max() < 1  # uniform
    vlm.starting_vectors = lambda name, class_noun: torch.ones(1, 8)
    assert float(start(vlm, "Biscuit", "dog", None, seed=0).norm()) == pytest.approx(900.0)


def test_a_step_on_which_numbers_overflow_is_left_out():
    class Overflowing(Pointed):
        def losses(self, views, targets, concepts, identifier, attention):
            found = super().losses(views, targets, concepts, identifier, attention)
            self.seen = getattr(self, "seen", 0) + 1
            return found if self.seen % 3 else Losses(found.cross_entropy * torch.nan, found.attention, found.name_probability)

    events = taught(Overflowing(), 2)
    assert all(np.isfinite(e.vector).all() for e in events if e.vector is not None)
    assert events[-1].sample == "Biscuit runs."


def test_a_family_s_own_recipe_is_followed():
    vlm = Pointed()
    assert options_for(vlm, "pet") == Options()
    vlm.recipe = SimpleNamespace(steps=75, steps_people=100, rate=1.0, regulariser=0.04)
    assert options_for(vlm, "pet") == Options(steps=75, rate=1.0, regulariser=0.04, questions_per_photo=3)
    assert options_for(vlm, "person").steps == 100


@pytest.mark.parametrize(("noun", "seen"), [("dog", True), ("puppy", True), ("zorgl", False)])
def test_a_class_noun_that_the_vlm_never_says_is_told_and_taught_all_the_same(noun, seen):
    pictures = [Image.new("RGB", (40, 30), "red")] * 2
    events = list(learn_concept(Pointed(), pictures, "Biscuit", noun, options=OPTIONS))
    assert {e.noun_seen for e in events if e.stage in ("learning", "done")} == {seen}
    assert events[-1].sample == "Biscuit runs."


def test_captions_of_the_teacher_come_first_and_plural_ones_serve_too():
    vlm = SimpleNamespace(width=8, candidates=lambda view, prompt, concepts, decoding: ["Two dogs play.", "A man."])
    drafts = draft_captions(vlm, None, "Biscuit", "dog", ["<name> sleeps".replace("<name>", "Biscuit"), "the dog in the snow"])
    assert drafts == Drafts(["Biscuit sleeps", "Biscuit in the snow", "Biscuit and another dog play."], True)


def test_answers_are_the_frozen_vlm_s_with_the_noun_replaced():
    asked = []
    vlm = SimpleNamespace(width=8, candidates=lambda view, prompt, concepts, decoding: [asked.append(prompt) or "the dog is on a mat"])
    answers = draft_answers(vlm, None, "Biscuit", "dog", 2)
    assert asked == ["What is the dog doing?", "Where is the dog?"]
    told = "Biscuit is on a mat"
    assert answers == [Sentence(told, "What is Biscuit doing?"), Sentence(told, "Where is Biscuit?"), Sentence("Biscuit", "Who is this?")]


def test_questions_are_learned_where_they_are_asked_for():
    plain, asking = Pointed(), Pointed()
    taught(plain, 2)
    taught(asking, 2, questions_per_photo=2, early_stop=False)
    assert plain.prompts == {None}
    assert asking.prompts == {None, "What is Biscuit doing?", "Where is Biscuit?", "Who is this?"}


@dataclass
class Batching(Pointed):
    """Takes several concepts at a time."""

    batches: list[list[str]] = field(default_factory=list)

    def losses_together(self, asked, attention):
        if any(a.concepts.requires_grad for a in asked):
            self.batches.append([a.identifier for a in asked])
        return [self.losses(a.views, a.targets, a.concepts, a.identifier, attention) for a in asked]


def lesson(vlm, name, together=None, **more):
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green")]
    return learn_concept(vlm, pictures, name, "dog", together=together, **{"options": OPTIONS, "early_stop": False} | more)


def test_concepts_that_learn_together_share_batches_and_become_what_each_becomes_alone():
    vlm, together = Batching(), Together()
    runs = {"Biscuit": lesson(vlm, "Biscuit", together, seed=1), "Rex": lesson(vlm, "Rex", together, seed=2)}
    last = {}
    while runs:  # in turns, as the engine serves its streams
        for name, run in list(runs.items()):
            try:
                last[name] = next(run)
            except StopIteration:
                del runs[name]
    assert vlm.batches.count(["Biscuit", "Rex"]) >= OPTIONS.steps - 5 and together.learners == []
    for name, seed in (("Biscuit", 1), ("Rex", 2)):
        alone = list(lesson(Batching(), name, seed=seed))[-1]
        assert alone.stage == last[name].stage == "done"
        np.testing.assert_allclose(last[name].vector, alone.vector, atol=1e-5)


def test_every_step_is_told_to_each_of_them_in_order():
    vlm, together = Batching(), Together()
    first = lesson(vlm, "Biscuit", together)
    begun = [next(first) for _ in range(8)]  # it is ahead when the other comes
    second = list(lesson(vlm, "Rex", together))
    steps = lambda events: [e.step for e in events if e.stage == "learning"]
    assert steps(second) == list(range(1, OPTIONS.steps + 1))
    assert steps([*begun, *first]) == list(range(1, OPTIONS.steps + 1))


def test_who_is_broken_off_leaves_the_others_learning():
    vlm, together = Batching(), Together()
    left, stays = lesson(vlm, "Rex", together), lesson(vlm, "Biscuit", together)
    for run in (left, stays):
        for event in run:
            if event.stage == "learning":
                break
    left.close()
    assert [one.lesson.name for one in together.learners] == ["Biscuit"]
    assert list(stays)[-1].stage == "done" and vlm.batches[-1] == ["Biscuit"]


def test_a_vlm_that_takes_one_concept_at_a_time_teaches_several_all_the_same():
    together, vlm = Together(), Pointed()
    runs = [lesson(vlm, "Biscuit", together, early_stop=True), lesson(vlm, "Rex", together, early_stop=True)]
    assert [list(run)[-1].stage for run in runs] == ["done", "done"]
