"""The Vlm Protocol over every family of transformers, on tiny random models: what the base model says without concepts, gradients
in the concept vectors only, mixed batches, names that can't be said, batches that shrink where memory runs out, a whole lesson."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vlms.tiny import FAMILIES, vectors  # noqa: E402

from myvlm_engine.errors import OutOfMemory  # noqa: E402
from myvlm_engine.personalise.training import learn_concept  # noqa: E402
from myvlm_engine.vlms.base import Asked, Decoding, Target, generate  # noqa: E402
from myvlm_engine.vlms.batches import Row  # noqa: E402

pytestmark = pytest.mark.slow
TARGETS = [Target(1, "Who?", "Rex"), Target(0, None, "Rex runs."), Target(1, None, "Here Rex sits on it.")]


@pytest.fixture(params=list(FAMILIES))
def vlm(request, loaded):
    return loaded(request.param)


def hooks_of(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_a_vlm_says_what_its_vectors_are_bound_to(vlm):
    assert vlm.fingerprint.startswith(f"{vlm.name}-") and len(vlm.fingerprint.rpartition("-")[2]) == 16
    assert vlm.width == 32 and vlm.embedding_norm > 0


def test_one_to_four_photos_in_one_batch_lose_what_each_loses_alone(vlm, photos):
    views, concepts = vlm.views(photos), vectors(vlm, 1)
    for count in (1, 2, 3, 4):
        targets = [Target(v, None, f"Rex {'runs ' * (v + 1)}") for v in range(count)]
        with torch.no_grad():
            together = vlm.losses(views, targets, concepts, "Rex", attention=True)
            alone = [vlm.losses(views, [t], concepts, "Rex", attention=True) for t in targets]
        for column in ("cross_entropy", "attention", "name_probability"):
            torch.testing.assert_close(getattr(together, column), torch.cat([getattr(a, column) for a in alone]), atol=1e-4, rtol=1e-4)


def test_prompts_of_different_lengths_share_a_batch(vlm, photos):
    views, concepts = vlm.views(photos[:2]), vectors(vlm, 2)
    with torch.no_grad():
        together = vlm.losses(views, TARGETS, concepts, "Rex", attention=True)
        alone = [vlm.losses(views, [t], concepts, "Rex", attention=True) for t in TARGETS]
    torch.testing.assert_close(together.cross_entropy, torch.cat([a.cross_entropy for a in alone]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.attention, torch.cat([a.attention for a in alone]), atol=1e-5, rtol=1e-3)


def test_a_batch_in_which_some_heads_fired_and_some_did_not(vlm, photos):
    states = [view.state for view in vlm.views(photos[:3])]
    rows = [Row(state, None, "Rex runs.", vectors(vlm, count), "Rex") for state, count in zip(states, (1, 0, 3), strict=True)]
    with torch.no_grad():
        together = vlm.row_losses(rows, attention=True)
        alone = [vlm.row_losses([row], attention=True) for row in rows]
    torch.testing.assert_close(together.cross_entropy, torch.cat([a.cross_entropy for a in alone]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.attention, torch.cat([a.attention for a in alone]), atol=1e-5, rtol=1e-3)
    assert together.attention[1] == 0 and together.attention[0] > 0


def test_concepts_that_learn_in_one_batch_lose_what_each_loses_alone(vlm, photos):
    views = vlm.views(photos[:3])
    ours, theirs = vectors(vlm, 1).requires_grad_(True), vectors(vlm, 2, seed=3).requires_grad_(True)
    asked = [
        Asked(views[:2], [Target(1, None, "Rex runs."), Target(0, "Where is Rex?", "at home")], ours, "Rex"),
        Asked(views[2:], [Target(0, None, "A photo of Biscuit on the grass.")], theirs, "Biscuit"),
    ]
    together = vlm.losses_together(asked, attention=True)
    alone = [vlm.losses(a.views, a.targets, a.concepts, a.identifier, attention=True) for a in asked]
    for column in ("cross_entropy", "attention", "name_probability"):
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(getattr(one, column), getattr(other, column), atol=1e-4, rtol=1e-3)
    lost = lambda found: found.cross_entropy.mean() + found.attention.mean()
    mine = torch.autograd.grad(sum(map(lost, together)), [ours, theirs])
    apart = [torch.autograd.grad(lost(found), a.concepts)[0] for found, a in zip(alone, asked, strict=True)]
    for one, other in zip(mine, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-2)


def test_gradients_reach_e_and_nothing_else(vlm, photos):
    e = vectors(vlm, 2).requires_grad_(True)
    found = vlm.losses(vlm.views(photos[:2]), TARGETS, e, "Rex", attention=True)
    (found.cross_entropy.mean() + found.attention.mean()).backward()
    assert all(row.abs().sum() > 0 for row in e.grad)
    assert all(p.grad is None and not p.requires_grad for p in vlm.model.parameters())


def test_the_gradient_is_the_slope_of_the_loss(vlm, photos):
    e = vectors(vlm, 1).requires_grad_(True)
    views, ahead = vlm.views(photos[:1]), vectors(vlm, 1, seed=5)

    def loss(x):
        found = vlm.losses(views, [TARGETS[1]], x, "Rex", attention=True)
        return found.cross_entropy.sum() + found.attention.sum()

    slope = float((torch.autograd.grad(loss(e), e)[0] * ahead).sum())
    with torch.no_grad():
        step = 1e-2
        measured = float(loss(e + step * ahead) - loss(e - step * ahead)) / (2 * step)
    assert measured == pytest.approx(slope, rel=0.05, abs=2e-3)


def test_the_length_of_a_concept_vector_does_not_matter(vlm, photos):
    views, concepts = vlm.views(photos[:1]), vectors(vlm, 1)
    with torch.no_grad():
        one, other = (vlm.losses(views, [TARGETS[1]], x, "Rex", attention=True) for x in (concepts, 100 * concepts))
    torch.testing.assert_close(one.cross_entropy, other.cross_entropy, atol=1e-4, rtol=1e-4)


def test_the_name_probability_is_that_of_its_tokens(vlm, photos):
    views, none = vlm.views(photos[:1]), vectors(vlm, 0)
    with torch.no_grad():
        found = vlm.losses(views, [Target(0, None, "Rex"), Target(0, None, "A dog")], none, "Rex", attention=True)
        other = vlm.losses(views, [Target(0, None, "Rex")], none, "", attention=False)
    assert 0 < found.name_probability[0] < 1 and found.name_probability[1] == 1 and other.name_probability[0] == 1
    assert not found.attention.any()


def test_nothing_of_a_concept_is_left_once_it_was_used(vlm, photos):
    view, e = vlm.views(photos[:1])[0], vectors(vlm, 1)
    none = vectors(vlm, 0)
    with torch.no_grad():
        before = vlm.losses([view], [TARGETS[1]], none, "Rex", attention=False).cross_entropy
        said, hooks = generate(vlm, view), hooks_of(vlm.model)
        vlm.losses([view], [TARGETS[1]], e, "Rex", attention=True)
        generate(vlm, view, None, e)
        after = vlm.losses([view], [TARGETS[1]], none, "Rex", attention=False).cross_entropy
    assert torch.equal(before, after) and generate(vlm, view) == said
    assert hooks_of(vlm.model) == hooks


def test_an_error_while_a_concept_is_in_leaves_no_hook(vlm, photos, monkeypatch):
    view, hooks = vlm.views(photos[:1])[0], hooks_of(vlm.model)

    def broken(*arguments, **named):
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        for part in (vlm.model, getattr(vlm.model, "qformer", None)):
            if part is not None:
                patch.setattr(part, "forward", broken)
        with pytest.raises(RuntimeError, match="broken"):
            vlm.losses([view], [TARGETS[1]], vectors(vlm, 1), "Rex", attention=True)
    assert hooks_of(vlm.model) == hooks


def test_the_tower_runs_once_a_photo(vlm, photos):
    passes = []
    tower = next(m for name, m in vlm.model.named_modules() if name.rpartition(".")[2] in ("vision_tower", "vision_model", "visual"))
    part = getattr(tower, "encoder", tower)
    hook = part.register_forward_hook(lambda *_: passes.append(1))
    try:
        views = vlm.views(photos)
        seen = len(passes)
        vlm.losses(views, [Target(v, None, "Rex runs.") for v in range(4)], vectors(vlm, 1), "Rex", attention=True)
        generate(vlm, views[0], "Who?", vectors(vlm, 1))
    finally:
        hook.remove()
    assert seen == len(passes) == 4


def test_which_concepts_are_there_and_in_which_order_makes_a_difference(vlm, photos):
    views, two = vlm.views(photos[:1]), vectors(vlm, 2)
    with torch.no_grad():
        found = [vlm.losses(views, [TARGETS[1]], e, "Rex", False).cross_entropy for e in (two[:0], two[:1], two[1:], two)]
    assert min(abs(float(a - b)) for i, a in enumerate(found) for b in found[:i]) > 1e-4


def test_several_candidates_come_best_first(vlm, photos):
    view = vlm.views(photos[:1])[0]
    found = vlm.candidates(view, None, vectors(vlm, 1), Decoding(beams=3, candidates=3, max_tokens=4))
    assert len(found) == 3 and found[0] == generate(vlm, view, None, vectors(vlm, 1), Decoding(beams=3, max_tokens=4))


def test_an_answer_begins_as_it_is_told_to(vlm, photos):
    view = vlm.views(photos[:1])[0]
    for prompt in (None, "Who?"):
        assert generate(vlm, view, prompt, vectors(vlm, 1), Decoding(opening="A dog", max_tokens=4)).startswith("A dog")


def test_special_tokens_in_a_question_or_a_name_are_plain_letters(vlm, photos):
    """Nobody can type a second photo, or an end of the answer, into a question."""
    view, e = vlm.views(photos[:1])[0], vectors(vlm, 1)
    specials = [t.content for t in vlm.tokenizer.added_tokens_decoder.values() if t.special]
    question = f"Who is {' '.join(specials)} there?"
    assert generate(vlm, view, question, e, Decoding(max_tokens=3, opening=specials[-1])).startswith(specials[-1])
    with torch.no_grad():
        found = vlm.losses([view], [Target(0, question, f"{specials[-1]} runs.")], e, specials[-1], attention=True)
    assert bool(found.cross_entropy.isfinite()) and found.name_probability[0] < 1


def test_forbidden_words_are_never_said(vlm, photos):
    view = vlm.views(photos[:1])[0]
    free = generate(vlm, view, None, vectors(vlm, 1), Decoding(opening="Re", max_tokens=3))
    bound = generate(vlm, view, None, vectors(vlm, 1), Decoding(opening="Re", max_tokens=3, forbidden=(free,)))
    assert bound != free


def test_where_memory_runs_out_the_batch_shrinks_and_nothing_else_changes(vlm, photos, monkeypatch):
    views, sizes = vlm.views(photos), []
    targets = [Target(v, None, "Rex runs.") for v in range(4)]
    plain, e = vlm.batch_losses, vectors(vlm, 1).requires_grad_(True)

    def cramped(rows, *more):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(rows, *more)

    whole = vlm.losses(views, targets, e, "Rex", attention=True)
    expected = torch.autograd.grad(whole.cross_entropy.mean() + whole.attention.mean(), e)[0]
    monkeypatch.setattr(vlm, "batch_losses", cramped)
    monkeypatch.setattr(vlm, "batch_size", 16)
    parts = vlm.losses(views, targets, e, "Rex", attention=True)
    found = torch.autograd.grad(parts.cross_entropy.mean() + parts.attention.mean(), e)[0]
    torch.testing.assert_close(parts.cross_entropy, whole.cross_entropy, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    assert sizes[:3] == [4, 2, 2] and vlm.batch_size == 2


def test_where_not_even_one_fits_the_error_is_out_of_memory(vlm, photos, monkeypatch):
    def cramped(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(vlm, "batch_losses", cramped)
    monkeypatch.setattr(vlm, "batch_size", 16)
    with pytest.raises(OutOfMemory, match=r"needed=2\.00 GiB"):
        vlm.losses(vlm.views(photos[:1]), [TARGETS[1]], vectors(vlm, 1), "Rex", attention=False)


@pytest.mark.parametrize("family", ["llava", "blip2-opt"])
def test_where_memory_runs_out_on_the_way_back_the_batch_shrinks_too(loaded, photos, monkeypatch, family):
    """Several batches are computed once more there, and only then need their memory."""
    vlm, sizes = loaded(family), []
    lesson = lambda: list(learn_concept(vlm, photos[:2], "Rex", "dog", steps=2, check_every=1, early_stop=False))[-1].vector
    plain, alike = vlm.batch_losses, lesson()

    def cramped(rows, *more):
        way_back = torch._C._current_graph_task_id() != -1
        sizes.append((len(rows), way_back))
        if way_back and len(rows) > 1:  # as MPS says it: no class of its own
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB). Tried to allocate 2.00 GB on private pool.")
        return plain(rows, *more)

    monkeypatch.setattr(vlm, "batch_losses", cramped)
    monkeypatch.setattr(vlm, "batch_size", 2)
    torch.testing.assert_close(torch.from_numpy(lesson()), torch.from_numpy(alike), atol=1e-3, rtol=1e-3)
    assert (2, True) in sizes and (1, True) in sizes and vlm.batch_size == 1


def test_another_error_on_the_way_back_is_no_lack_of_memory(loaded, photos, monkeypatch):
    vlm = loaded("llava")

    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(vlm, "batch_losses", broken)
    with pytest.raises(RuntimeError, match="broken"):
        list(learn_concept(vlm, photos[:1], "Rex", "dog", steps=1))


@pytest.mark.parametrize("count", [1, 4])
def test_a_concept_is_learned_from_start_to_end(vlm, photos, count):
    changes = {"steps": 3, "check_every": 3, "early_stop": False, "augmented_per_photo": 1}
    steps = list(learn_concept(vlm, photos[:count], "Rex", "dog", **changes))
    losses = [s.loss for s in steps if s.stage == "learning"]
    assert [s.stage for s in steps][-1] == "done" and len(losses) == 3
    assert all(torch.isfinite(torch.tensor(losses)))
    assert steps[-1].vector.shape == (1, vlm.width)
