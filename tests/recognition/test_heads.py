"""Learning a head, on made-up regions whose truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from myvlm_engine.messages import FitRequest, Sight, pack
from myvlm_engine.recognition import heads
from myvlm_engine.recognition.heads import (
    ASPECTS,
    CONFIRMED_LOGIT,
    CORRECTED_LOGIT,
    DOUBT_LOGIT,
    FLOOR_DEVIATIONS,
    HEEDED,
    Fit,
    Views,
    agreed,
    by_looks,
    fit_head,
    fit_views,
    standardised,
)
from myvlm_engine.recognition.negatives import Bank

WIDTH, REGIONS = 64, 12
BOXES = tuple((i / REGIONS, 0.0, (i + 1) / REGIONS, 1.0) for i in range(REGIONS))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


class World:
    """Photos are random regions; a subject is a direction that one region of its photos points to."""

    def __init__(self, seed: int = 0):
        self.random = np.random.default_rng(seed)
        clutter = unit(self.random.standard_normal((400 * REGIONS, WIDTH)))
        self.bank = Bank("eye", clutter, np.repeat(np.arange(400), REGIONS))

    def subject(self) -> np.ndarray:
        return unit(self.random.standard_normal(WIDTH))

    def photo(self, subject: np.ndarray | None = None, at: int = 0, noise: float = 0.3) -> Views:
        rows = unit(self.random.standard_normal((REGIONS, WIDTH)))
        if subject is not None:
            rows[at] = unit(subject + noise * unit(self.random.standard_normal(WIDTH)))
        return Views(rows, BOXES)


@pytest.fixture
def world() -> World:
    return World()


def fires(fit: Fit, photo: Views) -> bool:
    return fit.head.logit(photo.vectors) >= 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10])
def test_a_head_of_any_number_of_photos_knows_the_subject_and_nothing_else(world, count):
    subject = world.subject()
    # one photo can't tell what repeats: give it little else
    photos = [world.photo(subject, at=i % REGIONS) for i in range(count)]
    if count == 1:
        photos = [Views(photos[0].vectors[:1], BOXES[:1])]
    fit = fit_views(photos, [], [], world.bank)
    assert sum(fires(fit, world.photo(subject, at=5)) for _ in range(20)) >= 16
    assert not any(fires(fit, world.photo()) for _ in range(100))


def test_the_subject_is_found_in_each_photo_by_what_repeats(world):
    subject = world.subject()
    places = [3, 7, 0, 9]
    fit = fit_views([world.photo(subject, at=p) for p in places], [], [], world.bank)
    assert fit.boxes == [BOXES[p] for p in places]


def test_both_sides_of_a_subject_are_known_though_nothing_lies_between_them(world):
    left, right = world.subject(), world.subject()
    fit = fit_views([world.photo(side, at=4) for side in (left, left, right, right)], [], [], world.bank)
    for side in (left, right):
        assert sum(fires(fit, world.photo(side, at=7)) for _ in range(20)) >= 16
    assert not any(fires(fit, world.photo()) for _ in range(100))


def nearly(world: World, photo: Views) -> Views:
    """Saved again, or the next one of a burst."""
    return Views(unit(photo.vectors + 0.1 * unit(world.random.standard_normal(photo.vectors.shape))), BOXES)


def test_copies_of_one_photo_make_a_head_no_stricter_than_it_alone(world, monkeypatch):
    """Under a head of its own copies a photo scores what no other photo of the subject will."""
    monkeypatch.setitem(FLOOR_DEVIATIONS, "object", 1.0)
    photo = world.photo(world.subject())
    alone = fit_views([photo], [], [], world.bank)
    copies = fit_views([photo, *(nearly(world, photo) for _ in range(3))], [], [], world.bank)
    assert copies.head.yes_at <= 1.05 * alone.head.yes_at


def test_a_copy_among_different_photos_changes_little(world, monkeypatch):
    monkeypatch.setitem(FLOOR_DEVIATIONS, "object", 1.0)
    subject = world.subject()
    photos = [world.photo(subject, at, noise=0.7) for at in range(3)]
    without = fit_views(photos, [], [], world.bank).head.yes_at
    assert fit_views([*photos, nearly(world, photos[0])], [], [], world.bank).head.yes_at == pytest.approx(without, rel=0.1)
    other = world.photo(subject, 3, noise=0.7)
    assert not heads.twins(photos[0].vectors, other.vectors) and heads.twins(photos[0].vectors, nearly(world, photos[0]).vectors)


def test_a_photo_that_has_nothing_in_common_with_the_others_adds_no_direction(world):
    """Where the subject isn't found in a photo, what is found there is the room."""
    subject, room = world.subject(), world.photo()
    fit = fit_views([*(world.photo(subject, at=4) for _ in range(4)), room], [], [], world.bank)
    assert fit.head.vectors.shape == (1 + 4, WIDTH)
    assert fires(fit, world.photo(subject)) and not fires(fit, room)


def seen_small(world: World, subject: np.ndarray) -> Views:
    """Two regions of a taught photo made small: itself and its background."""
    return Views(world.photo(subject, at=0).vectors[:2], BOXES[:2])


@pytest.mark.parametrize("count", [1, 2, 4, 10])
def test_how_it_looks_from_afar_is_known_too_and_doesn_t_move_the_decision(world, count):
    near, far = world.subject(), world.subject()
    taught, afar = [world.photo(near, at=4) for _ in range(count)], [seen_small(world, far) for _ in range(count)]
    plain, fit = fit_views(taught, [], [], world.bank), fit_views(taught, [], [], world.bank, afar=afar)
    assert not any(fires(plain, world.photo(far)) for _ in range(20))
    if count > 1:
        assert sum(fires(fit, world.photo(far)) for _ in range(20)) >= 16
    assert sum(fires(fit, world.photo(near)) for _ in range(20)) >= 16 or count == 1
    assert not any(fires(fit, world.photo()) for _ in range(100))
    assert fit.boxes == plain.boxes and fit.head.yes_at == pytest.approx(plain.head.yes_at, rel=0.15)


def test_what_was_confirmed_has_no_picture_from_afar_and_counts_all_the_same(world):
    subject, unlike = world.subject(), world.photo()
    taught, afar = [world.photo(subject, at=4) for _ in range(4)], [seen_small(world, subject) for _ in range(4)]
    fit = fit_views([*taught, unlike], [], [], world.bank, confirmed=1, afar=afar)
    assert fires(fit, unlike) and fires(fit, world.photo(subject)) and len(fit.boxes) == 5


def test_from_afar_only_the_room_around_it_was_seen_adds_no_direction(world):
    subject = world.subject()
    taught = [world.photo(subject, at=4) for _ in range(4)]
    afar = [*(seen_small(world, subject) for _ in range(3)), Views(world.photo().vectors[:2], BOXES[:2])]
    assert fit_views(taught, [], [], world.bank, afar=afar).head.vectors.shape == (1 + 4 + 3, WIDTH)


def test_a_photo_that_somebody_confirmed_counts_though_it_is_like_no_other(world):
    subject, unlike = world.subject(), world.photo()
    taught = [world.photo(subject, at=4) for _ in range(4)]
    assert not fires(fit_views(taught, [], [], world.bank), unlike)
    fit = fit_views([*taught, unlike], [], [], world.bank, confirmed=1)
    assert fires(fit, unlike) and fires(fit, world.photo(subject))


@pytest.mark.parametrize("seed", range(5))
def test_a_confirmed_photo_is_always_named_however_little_of_the_subject_is_seen_in_it(seed):
    world = World(seed)
    subject = world.subject()
    taught = [world.photo(subject, at=4) for _ in range(4)]
    # many regions that each look a little like the subject: their mean is none of them
    faint = Views(unit(0.35 * subject + unit(world.random.standard_normal((REGIONS, WIDTH)))), BOXES)
    head = fit_views([*taught, faint], [], [], world.bank, confirmed=1).head
    assert head.logit(faint.vectors) >= CONFIRMED_LOGIT - 1e-3
    assert not any(head.logit(world.photo().vectors) >= 0 for _ in range(100))


def test_a_denied_photo_is_told_off_as_far_as_two_looks_at_it_agree(world):
    """The whole photo looks like the subject, no part of it does: less is needed than where both do."""
    subject = world.subject()
    taught = [world.photo(subject, at=4) for _ in range(4)]
    like, unlike = world.photo(subject, at=4), world.photo()
    boxes = ((0.0, 0.0, 1.0, 1.0), *BOXES)
    one, two = (Views(np.vstack([like.vectors[4:5], part.vectors]), boxes) for part in (unlike, like))
    after_one, after_two = (fit_views(taught, [], [wrong], world.bank).head for wrong in (one, two))
    for head, wrong in ((after_one, one), (after_two, two)):
        assert head.slope * agreed(by_looks(head.vectors, wrong) + head.biases) + head.offset <= CORRECTED_LOGIT + 1e-3
    assert after_one.score(like.vectors) > after_two.score(like.vectors) + 0.5


def test_a_stranger_who_looks_like_one_side_of_it_says_nothing_of_the_other(world):
    left, right = world.subject(), world.subject()
    taught = [world.photo(side, at=4) for side in (left, left, right, right)]
    stranger, other_side = world.photo(left, at=7), world.photo(right, at=2)
    before, after = (fit_views(taught, [], wrong, world.bank).head for wrong in ([], [stranger]))
    assert before.score(stranger.vectors) > before.yes_at and after.logit(stranger.vectors) <= CORRECTED_LOGIT + 1e-3
    assert after.yes_at == before.yes_at and after.score(other_side.vectors) > before.score(other_side.vectors) - 0.5


def test_who_was_denied_stays_denied_though_a_like_photo_is_confirmed(world):
    subject = world.subject()
    taught, faint = [world.photo(subject, at=4) for _ in range(4)], world.photo(subject, noise=1.5)
    head = fit_views([*taught, faint], [], [faint], world.bank, confirmed=1).head
    assert head.logit(faint.vectors) <= CORRECTED_LOGIT + 1e-3


def test_a_head_of_many_photos_stays_small_and_of_one_photo_many_times_is_whole(world):
    subject = world.subject()
    many = fit_views([world.photo(subject, at=i % REGIONS) for i in range(40)], [], [], world.bank)
    assert many.head.vectors.shape == (1 + ASPECTS, WIDTH) and fires(many, world.photo(subject))
    same = world.photo(subject)
    one = fit_views([same] * 25, [], [], world.bank)
    assert np.isfinite(one.head.vectors).all() and fires(one, same)


def test_a_pet_is_believed_later_than_a_thing_where_the_photos_tell_little(world, monkeypatch):
    monkeypatch.setattr(heads, "load_bank", lambda fingerprint: world.bank)
    subject = world.subject()
    sights = [
        Sight(encoder="eye", width=WIDTH, vectors=pack(world.photo(subject, noise=1.2).vectors.astype(np.float16)), boxes=list(BOXES))
        for _ in range(3)
    ]
    for kind, floor in FLOOR_DEVIATIONS.items():
        head, _ = fit_head(SimpleNamespace(fingerprint="eye"), FitRequest(kind=kind, positives=sights))
        assert -head.offset / head.slope == pytest.approx(floor)
    assert FLOOR_DEVIATIONS["pet"] > FLOOR_DEVIATIONS["object"]


@pytest.fixture
def early_doubt(monkeypatch) -> float:
    """Among made-up regions nothing scores as high above the others as in photos."""
    monkeypatch.setitem(heads.FLOOR_DEVIATIONS, "object", 5.0)
    return 5.0


def seen_faintly(world: World, fit: Fit, subject: np.ndarray, between: float) -> Views:
    """A photo of the subject that scores so far (0..1) between what is worth a question and what says yes."""
    wanted = fit.head.doubtful_at + between * (fit.head.yes_at - fit.head.doubtful_at)
    photos = (world.photo(subject, at=3, noise=noise) for noise in np.linspace(0.3, 3, 400))
    return min(photos, key=lambda photo: abs(fit.head.score(photo.vectors) - wanted))


def test_taught_in_close_ups_and_seen_faintly_is_worth_a_question(world, early_doubt):
    subject = world.subject()
    fit = fit_views([world.photo(subject, noise=0.1) for _ in range(4)], [], [], world.bank)
    assert fit.head.doubtful_at == early_doubt < fit.head.yes_at
    for between in (0.1, 0.5, 0.9):
        logit = fit.head.logit(seen_faintly(world, fit, subject, between).vectors)
        assert DOUBT_LOGIT <= logit < 0 and logit == pytest.approx((1 - between) * DOUBT_LOGIT, abs=0.15)
    strangers = [fit.head.logit(world.photo().vectors) for _ in range(100)]
    assert max(strangers) < DOUBT_LOGIT


def test_where_little_is_expected_no_score_below_yes_is_worth_a_question(world):
    fit = fit_views([world.photo(world.subject()) for _ in range(4)], [], [], world.bank)  # four different things
    assert fit.head.yes_at == pytest.approx(FLOOR_DEVIATIONS["object"]) and fit.head.doubtful_at is None


@pytest.mark.parametrize("between", [0.05, 0.5, 0.95])
def test_what_was_asked_about_and_denied_is_not_asked_again(world, between, early_doubt):
    subject = world.subject()
    photos = [world.photo(subject, noise=0.1) for _ in range(4)]
    denied = seen_faintly(world, fit_views(photos, [], [], world.bank), subject, between)
    head = fit_views(photos, [], [denied], world.bank).head
    assert head.logit(denied.vectors) <= CORRECTED_LOGIT + 1e-3
    assert head.logit(world.photo(subject, noise=0.1).vectors) > 0


def test_what_a_head_says_yes_to_is_told_in_deviations_of_the_bank(world):
    photos = [world.photo(world.subject()) for _ in range(3)]
    for scorer in standardised([photos[0].vectors[:1], photos[1].vectors[:5]], world.bank):
        scores = [scorer.score(world.bank.vectors[world.bank.photo_of == n]) for n in range(world.bank.photo_count)]
        assert np.mean(scores) == pytest.approx(0, abs=1e-3) and np.std(scores) == pytest.approx(1, abs=1e-3)


def test_a_photo_that_was_corrected_is_not_named_again(world):
    subject = world.subject()
    photos, lookalike = [world.photo(subject) for _ in range(4)], world.photo(subject, at=2)
    assert fires(fit_views(photos, [], [], world.bank), lookalike)
    assert not fires(fit_views(photos, [], [lookalike], world.bank), lookalike)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_what_is_unusual_and_confirmed_does_not_change_what_is_usual(world):
    subject = world.subject()
    taught, unlike = [world.photo(subject, at=4) for _ in range(4)], [world.photo() for _ in range(4)]
    plain, confirmed = (fit_views([*taught, *more], [], [], world.bank, len(more)) for more in ([], unlike))
    assert cosine(plain.head.vectors[0], confirmed.head.vectors[0]) > 0.97
    assert len(confirmed.head.vectors) >= len(plain.head.vectors) + 4 and all(fires(confirmed, photo) for photo in unlike)


def test_every_one_of_many_confirmed_photos_is_named_though_they_are_like_no_other(world):
    subject, unlike = world.subject(), [world.photo() for _ in range(4 * HEEDED)]
    fit = fit_views([*(world.photo(subject, at=4) for _ in range(4)), *unlike], [], [], world.bank, confirmed=len(unlike))
    assert all(fit.head.logit(photo.vectors) >= CONFIRMED_LOGIT - 1e-3 for photo in unlike) and len(fit.boxes) == 4 + len(unlike)
    assert fires(fit, world.photo(subject))


def test_what_many_confirmed_photos_take_in_time_grows_with_their_number_and_not_its_square(world, monkeypatch):
    counted = {name: 0 for name in ("repetition", "commonness", "standardised")}

    def counting(name):
        real = getattr(heads, name)

        def called(*given):
            counted[name] += 1
            assert name != "repetition" or len(given[0]) <= 4 + HEEDED
            return real(*given)

        return called

    for name in counted:
        monkeypatch.setattr(heads, name, counting(name))
    unlike = [world.photo() for _ in range(4 * HEEDED)]
    subject = world.subject()
    fit_views([*(world.photo(subject, at=4) for _ in range(4)), *unlike], [], [], world.bank, confirmed=len(unlike))
    assert counted["repetition"] == counted["commonness"] == 4 + HEEDED
    assert counted["standardised"] <= 2 + 1 + HEEDED  # each a look at the whole bank


@pytest.mark.parametrize("confirmed, denied", [(HEEDED, HEEDED), (3, 0), (0, 3)])
def test_up_to_so_many_confirmed_photos_each_is_looked_at_as_closely_as_a_taught_one(world, monkeypatch, confirmed, denied):
    """The figures of README.md are of ten corrections: what spares time with more of them changes nothing there."""
    subject = world.subject()
    photos = [world.photo(subject, at=4) for _ in range(4)] + [
        world.photo(subject, noise=noise) for noise in np.linspace(0.5, 4, confirmed)
    ]
    wrong = [world.photo(unit(subject + unit(world.random.standard_normal(WIDTH)))) for _ in range(denied)]
    fit = fit_views(photos, [], wrong, world.bank, confirmed)
    monkeypatch.setattr(heads, "HEEDED", len(photos))
    plain = fit_views(photos, [], wrong, world.bank, confirmed)
    assert np.array_equal(fit.head.vectors, plain.head.vectors) and np.array_equal(fit.head.biases, plain.head.biases)
    assert (fit.head.yes_at, fit.boxes) == (plain.head.yes_at, plain.boxes)


def test_where_everything_was_confirmed_there_is_a_head(world):
    subject = world.subject()
    for count in (3, 3 * HEEDED):
        fit = fit_views([world.photo(subject) for _ in range(count)], [], [], world.bank, confirmed=count)
        assert fires(fit, world.photo(subject))


def test_one_photo_that_was_denied_weighs_less_than_many(world):
    """One look-alike says little of the subject: its head changes as much as that one asks for, no more."""
    subject = world.subject()
    taught = [world.photo(subject) for _ in range(4)]
    twin = unit(subject + 0.6 * unit(world.random.standard_normal(WIDTH)))
    wrong = [world.photo(twin, noise=0.2) for _ in range(20)]
    plain, one, many = (fit_views(taught, [], wrong[:count], world.bank).head.vectors[0] for count in (0, 1, 20))
    assert cosine(plain, one) > 0.98 > cosine(plain, many)


def test_what_is_around_the_subject_in_every_taught_photo_is_not_the_subject(world):
    """All photos are taken in one room, which fills most of each."""
    subject, room = world.subject(), world.subject()

    def in_room(there: bool) -> Views:
        photo = world.photo(subject if there else None, at=4)
        rows = photo.vectors.copy()
        for at in (0, 1, 8, 9, 10, 11):
            rows[at] = unit(room + 0.9 * unit(world.random.standard_normal(WIDTH)))
        return Views(rows, BOXES)

    fit = fit_views([in_room(True) for _ in range(4)], [], [], world.bank)
    assert fit.boxes == [BOXES[4]] * 4
    assert sum(fires(fit, in_room(True)) for _ in range(20)) >= 16
    assert not any(fires(fit, in_room(False)) for _ in range(50))


def test_corrections_leave_the_subject_itself_recognised(world):
    subject = world.subject()
    twin = unit(subject + 0.4 * unit(world.random.standard_normal(WIDTH)))  # so much alike that the first head takes it for the subject
    clear = 0.25
    photos = [world.photo(subject, noise=clear) for _ in range(4)]
    before = fit_views(photos, [], [], world.bank)
    wrong = [photo for photo in (world.photo(twin, noise=clear) for _ in range(40)) if fires(before, photo)]
    assert len(wrong) >= 5
    fit = fit_views(photos, [], wrong, world.bank)
    assert not any(fires(fit, photo) for photo in wrong)
    assert sum(fires(fit, world.photo(subject, noise=clear)) for _ in range(20)) >= 14
    assert sum(fires(fit, world.photo(twin, noise=clear)) for _ in range(20)) <= 3
