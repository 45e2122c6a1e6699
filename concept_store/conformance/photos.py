"""Photos and what encoders saw in them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from ..errors import LeaseLost, NotFound, TooManyPhotos, WrongFingerprint
from ..records import Announce, PhotoId, Regions, State
from ..store import ConceptStore
from .samples import (
    ENCODER,
    LEASE_S,
    LEFT,
    NOWHERE,
    OTHER_ENCODER,
    RIGHT,
    VLM,
    Contract,
    claim,
    create,
    embedding,
    head,
    learn,
    new,
    photo,
    same_regions,
    scope,
    seen,
)

NO_PHOTO = PhotoId("no-such-photo")


class PhotosContract(Contract):
    async def test_photos_come_back_in_the_order_they_were_taught(self, store: ConceptStore) -> None:
        given = [photo(captions=("Biscuit sits.", "Ein Bild von Biscuit.")), *(photo() for _ in range(9))]
        made = await store.create_concept(new(), given)
        kept = await store.photos(made.id)
        assert [(one.data, one.thumbnail, one.digest, one.captions) for one in kept] == [
            (one.data, one.thumbnail, one.digest, one.captions) for one in given
        ]
        assert {one.concept_id for one in kept} == {made.id}
        assert {one.box for one in kept} == {None}
        assert len({one.id for one in kept}) == 10
        assert await store.photos(NOWHERE) == []

    async def test_the_thumbnail_is_the_first_photos(self, store: ConceptStore) -> None:
        made = await store.create_concept(new(), [photo(thumbnail=b"first"), photo(thumbnail=b"second")])
        assert await store.thumbnail(made.id) == b"first"
        with pytest.raises(NotFound):
            await store.thumbnail(NOWHERE)

    async def test_added_photos_come_behind_the_others_and_what_was_learned_stays_in_use(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.mark_announced(made.id)
        waiting = await create(store, "Milo")
        more = [photo(captions=("Biscuit sleeps.",)), photo()]
        before = await store.photos(made.id)
        added = await store.add_photos(made.id, more, Announce(78, 5, "fr"), at_most=4)
        assert added == await store.concept(made.id)
        assert (added.state, added.attempts, added.announced, added.photo_count) == (State.QUEUED, 0, False, 4)
        assert (added.announce, added.has_head, added.has_embedding) == (Announce(78, 5, "fr"), True, True)
        after = await store.photos(made.id)
        assert after[:2] == before and [(one.data, one.captions, one.box) for one in after[2:]] == [
            (one.data, one.captions, None) for one in more
        ]
        assert [match.concept.id for match in await store.match(scope(), [seen(0)])] == [made.id]
        assert [await store.queue_position(one.id) for one in (waiting, made)] == [1, 2]

    async def test_who_trains_a_concept_that_gets_photos_loses_it_and_what_was_begun_begins_anew(self, store: ConceptStore) -> None:
        made, later = await create(store), await create(store, "Milo")
        held = await claim(store)
        await store.save_head(held, head(0))
        await store.save_embedding(held, embedding(5, finished=False))
        added = await store.add_photos(made.id, [photo()])
        assert (added.state, added.announce) == (State.QUEUED, made.announce)
        for refused in (store.renew(held, LEASE_S), store.save_embedding(held, embedding()), store.fail(held, "internal")):
            with pytest.raises(LeaseLost):
                await refused
        assert await store.progress(made.id, VLM) is None and await store.head(made.id, ENCODER) is not None
        assert [await store.queue_position(one.id) for one in (made, later)] == [1, 2], "it keeps its place"
        assert (await claim(store)).concept_id == made.id

    async def test_more_photos_than_a_concept_may_have_are_refused_and_nothing_changes(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        with pytest.raises(TooManyPhotos):
            await store.add_photos(made.id, [photo(), photo()], at_most=3)
        with pytest.raises(ValueError):
            await store.add_photos(made.id, [])
        with pytest.raises(NotFound):
            await store.add_photos(NOWHERE, [photo()])
        assert await store.concept(made.id) == made and len(await store.photos(made.id)) == 2

    async def test_a_photo_is_removed_with_all_that_came_from_it_and_the_rest_is_learned_again(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0, photos=4)
        before = await store.photos(made.id)
        for one in before:
            await store.save_box(one.id, LEFT)
            await store.save_regions(one.id, seen(0))
        left = await store.remove_photo(before[1].id, Announce(78, 5, "fr"))
        assert left == await store.concept(made.id)
        assert (left.state, left.attempts, left.announced, left.photo_count) == (State.QUEUED, 0, False, 3)
        assert (left.announce, left.has_head, left.has_embedding) == (Announce(78, 5, "fr"), True, True)
        after = await store.photos(made.id)
        assert [(one.id, one.box) for one in after] == [(one.id, None) for one in before if one.id != before[1].id]
        assert len(await store.regions(made.id, ENCODER)) == 3
        with pytest.raises(NotFound):
            await store.remove_photo(before[1].id)
        more = await store.add_photos(made.id, [photo()])
        assert more.photo_count == 4 and [one.id for one in (await store.photos(made.id))[:3]] == [one.id for one in after]
        await store.remove_photo(after[0].id)
        assert await store.thumbnail(made.id) == after[1].thumbnail

    async def test_the_only_photo_is_not_removed(self, store: ConceptStore) -> None:
        made = await create(store, photos=1)
        (only,) = await store.photos(made.id)
        with pytest.raises(ValueError):
            await store.remove_photo(only.id)
        assert await store.concept(made.id) == made and await store.photos(made.id) == [only]

    async def test_who_trains_a_concept_that_loses_a_photo_loses_it(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        await store.save_embedding(held, embedding(5, finished=False))
        await store.remove_photo((await store.photos(made.id))[0].id)
        with pytest.raises(LeaseLost):
            await store.renew(held, LEASE_S)
        assert await store.progress(made.id, VLM) is None and (await claim(store)).concept_id == made.id

    async def test_photos_that_were_added_can_be_taken_back_and_it_is_as_it_was(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        before = await store.photos(made.id)
        for one in before:
            await store.save_box(one.id, LEFT)
        await store.add_photos(made.id, [photo(), photo()])
        held = await claim(store)
        added = (await store.photos(made.id))[-1]
        await store.save_regions(added.id, seen(0))
        await store.take_back(held, "added_shows_person")
        now = await store.concept(made.id)
        assert (now.state, now.failure, now.announced, now.photo_count) == (State.READY, "added_shows_person", False, 2)
        assert [one.id for one in await store.photos(made.id)] == [one.id for one in before]
        with pytest.raises(NotFound):
            await store.save_regions(added.id, seen(0))
        assert [match.concept.id for match in await store.match(scope(), [seen(0)])] == [made.id]
        with pytest.raises(LeaseLost):
            await store.take_back(held, "added_shows_person")
        again = await store.add_photos(made.id, [photo()])
        assert (again.state, again.failure, again.photo_count) == (State.QUEUED, None, 3)

    async def test_what_was_never_learned_whole_has_failed_when_photos_are_taken_back(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        with pytest.raises(ValueError):
            await store.take_back(held, "added_shows_person")
        now = await store.concept(made.id)
        assert (now.state, now.photo_count) == (State.TRAINING, 2), "nothing changes"
        await store.save_box((await store.photos(made.id))[0].id, LEFT)
        await store.take_back(held, "added_shows_person")
        now = await store.concept(made.id)
        assert (now.state, now.failure, now.photo_count) == (State.FAILED, "added_shows_person", 1)

    async def test_two_who_add_photos_at_once_both_do(self, store: ConceptStore) -> None:
        made = await create(store, photos=1)
        tries = await asyncio.gather(*(store.add_photos(made.id, [photo()], at_most=3) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in tries if isinstance(one, BaseException)] == [TooManyPhotos]
        assert len(await store.photos(made.id)) == 3

    async def test_a_box_is_kept_with_its_photo(self, store: ConceptStore) -> None:
        first, _ = await store.photos((await create(store)).id)
        await store.save_box(first.id, (0.1, 0.2, 0.30000000000000004, 1.0))
        assert [one.box for one in await store.photos(first.concept_id)] == [(0.1, 0.2, 0.30000000000000004, 1.0), None]
        await store.save_box(first.id, LEFT)
        assert (await store.photos(first.concept_id))[0].box == LEFT
        with pytest.raises(NotFound):
            await store.save_box(NO_PHOTO, LEFT)

    async def test_faces_are_offered_in_one_photo_at_a_time_and_the_chosen_one_is_kept(self, store: ConceptStore) -> None:
        first, second = await store.photos((await create(store)).id)
        (others,) = await store.photos((await create(store, "Milo", photos=1)).id)
        assert (first.faces, first.face) == ((), None)
        await store.offer_faces(others.id, [LEFT, RIGHT])
        await store.offer_faces(first.id, [LEFT, (0.123, 0.2, 0.30000000000000004, 1.0)])
        await store.choose_face(first.id, LEFT)
        await store.offer_faces(second.id, [RIGHT, LEFT])
        kept = await store.photos(first.concept_id)
        assert [(one.faces, one.face) for one in kept] == [((), LEFT), ((RIGHT, LEFT), None)]
        await store.offer_faces(first.id, [LEFT, (0.123, 0.2, 0.30000000000000004, 1.0)])
        kept = await store.photos(first.concept_id)
        assert [(one.faces, one.face) for one in kept] == [((LEFT, (0.123, 0.2, 0.30000000000000004, 1.0)), None), ((), None)]
        assert [one.faces for one in await store.photos(others.concept_id)] == [(LEFT, RIGHT)], "another concept's question stays"
        for refused in (store.offer_faces(NO_PHOTO, [LEFT, RIGHT]), store.choose_face(NO_PHOTO, LEFT)):
            with pytest.raises(NotFound):
                await refused

    async def test_whoever_has_lost_the_claim_keeps_no_box_and_offers_no_faces(self, store: ConceptStore) -> None:
        made, other = await create(store), await create(store, "Milo")
        first, second = await store.photos(made.id)
        (others, _) = await store.photos(other.id)
        held = await claim(store)
        await store.save_head(held, head(0), {first.id: LEFT, others.id: RIGHT})
        assert [one.box for one in await store.photos(made.id)] == [LEFT, None]
        assert [one.box for one in await store.photos(other.id)] == [None, None], "another concept's photo isn't this training's"
        await store.offer_faces(second.id, [LEFT, RIGHT], held)
        await store.save_regions(first.id, seen(0))
        await store.remove_photo(second.id)
        for refused in (store.save_head(held, head(1), {first.id: LEFT}), store.offer_faces(first.id, [LEFT, RIGHT], held)):
            with pytest.raises(LeaseLost):
                await refused
        (left,) = await store.photos(made.id)
        assert (left.box, left.faces, len(await store.regions(made.id, ENCODER))) == (None, (), 1)

    async def test_while_it_is_asked_whose_face_is_meant_no_vector_of_any_is_kept(self, store: ConceptStore) -> None:
        made = await create(store, photos=2)
        known, new = await store.photos(made.id)
        for one in (known, new):
            await store.save_regions(one.id, seen(0, 1))
        await store.save_box(known.id, LEFT)
        await store.offer_faces(new.id, [LEFT, RIGHT])
        assert len(await store.regions(made.id, ENCODER)) == 1, "what the head knows stays"
        await store.save_box(new.id, RIGHT)
        await store.save_regions(new.id, seen(1))
        assert len(await store.regions(made.id, ENCODER)) == 2

    async def test_regions_come_back_exactly_and_in_the_photos_order(self, store: ConceptStore) -> None:
        made = await create(store, photos=3)
        first, _, third = await store.photos(made.id)
        vectors = np.random.default_rng(1).normal(size=(2, 48)).astype(np.float16)
        given = Regions(ENCODER, vectors, ((0.1, 0.2, 1 / 3, 0.9), RIGHT))
        await store.save_regions(third.id, seen(3, width=48))
        await store.save_regions(first.id, given)
        kept = await store.regions(made.id, ENCODER)
        assert len(kept) == 2, "the second photo hasn't been seen"
        assert same_regions(kept[0], given)
        assert same_regions(kept[1], seen(3, width=48))

    async def test_what_an_encoder_sees_replaces_what_it_saw_and_nothing_else(self, store: ConceptStore) -> None:
        made = await create(store, photos=1)
        only = (await store.photos(made.id))[0]
        await store.save_regions(only.id, seen(0))
        await store.save_regions(only.id, seen(2, encoder=OTHER_ENCODER))
        await store.save_regions(only.id, seen(1, 1))
        assert [same_regions(one, seen(1, 1)) for one in await store.regions(made.id, ENCODER)] == [True]
        assert [same_regions(one, seen(2, encoder=OTHER_ENCODER)) for one in await store.regions(made.id, OTHER_ENCODER)] == [True]
        assert await store.regions(made.id, "grid/1a2c") == []

    async def test_an_encoder_may_have_seen_nothing(self, store: ConceptStore) -> None:
        made = await create(store, photos=1)
        nothing = Regions(OTHER_ENCODER, np.zeros((0, 8), np.float16), ())
        await store.save_regions((await store.photos(made.id))[0].id, nothing)
        assert [one.vectors.shape for one in await store.regions(made.id, OTHER_ENCODER)] == [(0, 8)]

    async def test_regions_of_a_deleted_photo_or_of_no_encoder_are_refused(self, store: ConceptStore) -> None:
        only = (await store.photos((await create(store, photos=1)).id))[0]
        with pytest.raises(NotFound):
            await store.save_regions(NO_PHOTO, seen(0))
        with pytest.raises(WrongFingerprint):
            await store.save_regions(only.id, seen(0, encoder=""))
        with pytest.raises(ValueError):
            await store.save_regions(only.id, seen(0, 1, boxes=(LEFT,)))
