"""Matching: who is found, how surely, where; and who looks alike. Scores themselves are tested with matching.py."""

from __future__ import annotations

import numpy as np
import pytest

from ..errors import WrongFingerprint
from ..records import ConceptId, Match, Regions
from ..store import ConceptStore
from .samples import (
    ANNA,
    AWAY,
    BEN,
    ENCODER,
    HOME,
    LEFT,
    OTHER_ENCODER,
    RIGHT,
    WIDTH,
    Contract,
    claim,
    create,
    embedding,
    head,
    learn,
    scope,
    seen,
)


def who(matches: list[Match]) -> list[str]:
    return [match.concept.name for match in matches]


class MatchesContract(Contract):
    # -- match
    async def test_a_concept_is_found_where_it_is(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await learn(store, "Milo", 1)
        (found,) = await store.match(scope(), [seen(4, 0, boxes=(LEFT, RIGHT))])
        assert found.concept == made
        assert found.box == found.spoke == RIGHT
        assert 0.9 < found.score <= 1.0

    async def test_places_are_told_where_a_concept_of_the_scope_may_be(self, store: ConceptStore) -> None:
        small = (0.0, 0.0, 0.3, 0.5)
        half = Regions(ENCODER, 0.55 * seen(0, 1).vectors, (small, RIGHT))
        assert await store.worth_a_closer_look(scope(), [half]) == []
        await learn(store, "Biscuit", 0)
        assert await store.worth_a_closer_look(scope(), [half]) == [small]
        assert await store.worth_a_closer_look(scope(), [Regions(ENCODER, 0.01 * half.vectors, half.boxes)]) == []
        assert await store.worth_a_closer_look(scope(guild_id=AWAY), [half]) == await store.worth_a_closer_look(scope(), []) == []
        with pytest.raises(WrongFingerprint):
            await store.worth_a_closer_look(scope(), [Regions(ENCODER, np.ones((1, WIDTH + 1), np.float16), (small,))])

    async def test_nothing_is_found_where_nothing_is_known_or_seen(self, store: ConceptStore) -> None:
        assert await store.match(scope(), [seen(0)]) == []
        await create(store, "Anna")
        assert await store.match(scope(), [seen(0)]) == []
        await store.save_head(await claim(store), head(0))
        assert await store.match(scope(), []) == []
        assert await store.match(scope(), [seen()]) == []
        assert await store.match(scope(), [Regions(ENCODER, np.zeros((0, 0), np.float16), ())]) == []
        assert await store.match(scope(), [seen(3)]) == []

    async def test_a_concept_is_matched_from_its_head_on_and_by_its_newest(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        assert await store.match(scope(), [seen(0)]) == []
        await store.save_head(held, head(0))
        assert who(await store.match(scope(), [seen(0)])) == ["Biscuit"]
        await store.refit_head(made.id, head(1))
        assert await store.match(scope(), [seen(0)]) == []
        assert who(await store.match(scope(), [seen(1)])) == ["Biscuit"]
        await store.rename_concept(made.id, "Joe")
        assert who(await store.match(scope(), [seen(1)])) == ["Joe"]
        await store.fail(held, "internal")
        assert who(await store.match(scope(), [seen(1)])) == ["Joe"]
        await store.delete_concept(made.id)
        assert await store.match(scope(), [seen(1)]) == []

    async def test_only_what_is_known_in_the_scope_is_found(self, store: ConceptStore) -> None:
        await learn(store, "private", 0, owner_id=ANNA, private=True)
        await learn(store, "away", 1, owner_id=ANNA, guild_id=AWAY)
        await learn(store, "Ben's", 2, owner_id=BEN)
        photo = [seen(0, 1, 2, boxes=(LEFT, (0.4, 0.0, 0.6, 1.0), RIGHT))]
        assert set(who(await store.match(scope(ANNA, HOME), photo))) == {"private", "Ben's"}
        assert set(who(await store.match(scope(ANNA, AWAY), photo))) == {"private", "away"}
        assert set(who(await store.match(scope(ANNA, None), photo))) == {"private", "away"}
        assert set(who(await store.match(scope(BEN, HOME), photo))) == {"Ben's"}
        assert set(who(await store.match(scope(BEN, AWAY), photo))) == {"away"}

    async def test_who_is_surest_comes_first_and_no_more_than_asked_for(self, store: ConceptStore) -> None:
        for number in range(5):
            await learn(store, f"concept {number}", number)
            slope = 10.0 + number  # the higher, the surer
            await store.refit_head((await store.find(scope(), f"concept {number}")).id, head(number, slope=slope, offset=-5.0))
        corners = tuple((x / 5, 0.0, (x + 1) / 5, 1.0) for x in range(5))
        found = await store.match(scope(), [seen(0, 1, 2, 3, 4, boxes=corners)], at_most=3)
        assert who(found) == ["concept 4", "concept 3", "concept 2"]
        assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
        assert len(await store.match(scope(), [seen(0, 1, 2, 3, 4, boxes=corners)])) == 4

    async def test_the_threshold_decides(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.refit_head(made.id, head(0, slope=1.0, offset=0.0))  # sigmoid(1) = 0.731
        assert who(await store.match(scope(), [seen(0)], threshold=0.7)) == ["Biscuit"]
        assert await store.match(scope(), [seen(0)], threshold=0.76) == []

    async def test_heads_of_other_encoders_are_never_compared(self, store: ConceptStore) -> None:
        await learn(store, "Biscuit", 0)
        assert await store.match(scope(), [seen(0, encoder=OTHER_ENCODER)], threshold=0.0) == []
        assert await store.match(scope(), [seen(0, encoder=OTHER_ENCODER, width=WIDTH + 3)], threshold=0.0) == []
        assert await store.neighbours(scope(), [seen(0, encoder=OTHER_ENCODER)]) == []

    async def test_each_encoder_speaks_for_its_own_heads(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        await store.save_head(held, head(0))
        await store.save_head(held, head(1, encoder=OTHER_ENCODER, width=9))
        await store.save_embedding(held, embedding())
        for photo in ([seen(0)], [seen(1, encoder=OTHER_ENCODER, width=9)], [seen(0), seen(1, encoder=OTHER_ENCODER, width=9)]):
            assert [match.concept.id for match in await store.match(scope(), photo)] == [made.id], "found, and only once"
        assert await store.match(scope(), [seen(1), seen(0, encoder=OTHER_ENCODER, width=9)]) == []

    async def test_one_region_speaks_for_one_concept(self, store: ConceptStore) -> None:
        surer, other = await learn(store, "surer", 0), await learn(store, "other", 0)
        await store.refit_head(surer.id, head(0, slope=30.0, offset=-10.0))
        await store.refit_head(other.id, head(0, slope=15.0, offset=-10.0))
        assert who(await store.match(scope(), [seen(0)])) == ["surer"]

    async def test_vectors_of_another_width_under_the_same_fingerprint_are_refused(self, store: ConceptStore) -> None:
        await learn(store, "Biscuit", 0)
        with pytest.raises(WrongFingerprint):
            await store.match(scope(), [seen(0, width=WIDTH + 1)])

    # -- corrections
    async def test_a_photo_with_a_correction_is_never_wrong_again(self, store: ConceptStore) -> None:
        here, absent = await learn(store, "here", 0), await learn(store, "absent", 1)
        shown = [seen(1)]
        assert who(await store.match(scope(), shown, digest="photo")) == ["absent"]
        await store.add_correction(here.id, shown, True, "photo")
        await store.add_correction(absent.id, shown, False, "photo")
        (found,) = await store.match(scope(), shown, digest="photo")
        assert (found.concept.id, found.score, found.box, found.spoke) == (here.id, 1.0, None, None), "its head sees it nowhere"
        assert who(await store.match(scope(), shown, digest="another photo")) == ["absent"]
        assert who(await store.match(scope(), shown)) == ["absent"]

    async def test_a_correction_says_who_is_there_before_anything_is_learned(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.add_correction(made.id, [seen(0)], True, "photo")
        assert who(await store.match(scope(), [seen(0)], digest="photo")) == ["Biscuit"]

    async def test_a_correction_counts_only_where_its_concept_is_known(self, store: ConceptStore) -> None:
        made = await create(store, private=True)
        await store.add_correction(made.id, [seen(0)], True, "photo")
        assert await store.match(scope(BEN), [seen(0)], digest="photo") == []

    async def test_a_correction_keeps_the_region_the_head_found(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.add_correction(made.id, [seen(0)], True, "photo")
        (found,) = await store.match(scope(), [seen(4, 0, boxes=(LEFT, RIGHT))], digest="photo")
        assert (found.score, found.box, found.spoke) == (1.0, RIGHT, RIGHT)

    # -- neighbours
    async def test_neighbours_are_those_that_look_alike_fired_or_not(self, store: ConceptStore) -> None:
        alike, less, not_at_all = await learn(store, "alike", 0), await learn(store, "less", 1), await learn(store, "not", 2)
        await store.refit_head(alike.id, head(0, slope=4.0, offset=-3.0))
        await store.refit_head(less.id, head(1, slope=4.0, offset=-4.5))
        await store.refit_head(not_at_all.id, head(5, slope=4.0, offset=-4.5))
        photos = [seen(0, boxes=(LEFT,)), seen(1, boxes=(LEFT,)), seen(3)]
        assert await store.neighbours(scope(), photos) == [alike.id, less.id, not_at_all.id]
        assert await store.neighbours(scope(), photos, at_most=2) == [alike.id, less.id]

    async def test_neighbours_do_not_take_regions_from_each_other(self, store: ConceptStore) -> None:
        twins = {(await learn(store, "twin", 0)).id, (await learn(store, "other twin", 0)).id}
        stranger = (await learn(store, "stranger", 3)).id
        found: list[ConceptId] = await store.neighbours(scope(), [seen(0)])
        assert set(found[:2]) == twins
        assert found[2] == stranger

    async def test_neighbours_are_looked_for_in_the_scope(self, store: ConceptStore) -> None:
        await learn(store, "Ben's", 0, owner_id=BEN, private=True)
        assert await store.neighbours(scope(ANNA), [seen(0)]) == []
        assert len(await store.neighbours(scope(BEN), [seen(0)])) == 1
        assert await store.neighbours(scope(BEN), []) == []
        assert await store.head((await store.find(scope(BEN), "Ben's")).id, ENCODER) is not None
