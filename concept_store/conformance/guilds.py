"""Settings of guilds, and consents of members who are taught."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import NoConsent
from ..records import GuildId, Kept, Kind
from ..store import ConceptStore
from .samples import ANNA, AWAY, BEN, CARA, HOME, Contract, create, learn, names, new, photo, scope, seen


class GuildsContract(Contract):
    @pytest.mark.parametrize("value", [True, False, 0, 0.25, "high", "", [1, 2], {"people": True, "of": [str(2**62)]}])
    async def test_a_setting_comes_back_as_it_was_set(self, store: ConceptStore, value: Any) -> None:
        await store.set_setting(HOME, "sensitivity", value)
        kept = await store.setting(HOME, "sensitivity", "default")
        assert kept == value and type(kept) is type(value)

    async def test_a_setting_nobody_set_is_the_default(self, store: ConceptStore) -> None:
        await store.set_setting(HOME, "people", True)
        assert await store.setting(AWAY, "people") is None
        assert await store.setting(AWAY, "people", False) is False
        assert await store.setting(HOME, "sensitivity", 0.5) == 0.5

    async def test_a_setting_is_replaced_and_removed(self, store: ConceptStore) -> None:
        await store.set_setting(HOME, "people", True)
        await store.set_setting(HOME, "people", False)
        assert await store.setting(HOME, "people", "default") is False
        await store.set_setting(HOME, "people", None)
        assert await store.setting(HOME, "people", "default") == "default"
        await store.set_setting(HOME, "people", None)

    async def test_a_setting_that_is_not_json_is_refused_and_the_old_one_stays(self, store: ConceptStore) -> None:
        await store.set_setting(HOME, "people", True)
        with pytest.raises(TypeError):
            await store.set_setting(HOME, "people", {1, 2})
        assert await store.setting(HOME, "people") is True

    async def test_consent_holds_for_one_teacher_in_one_guild(self, store: ConceptStore) -> None:
        await store.give_consent(ANNA, BEN, HOME)
        await store.give_consent(ANNA, BEN, HOME)
        assert await store.has_consent(ANNA, BEN, HOME)
        assert not await store.has_consent(ANNA, CARA, HOME)
        assert not await store.has_consent(ANNA, BEN, AWAY)
        assert not await store.has_consent(BEN, ANNA, HOME)

    async def test_withdrawing_deletes_what_shows_the_member_there_whoever_owns_it(self, store: ConceptStore) -> None:
        for teacher, guild_id in ((BEN, HOME), (CARA, HOME), (BEN, AWAY)):
            await store.give_consent(ANNA, teacher, guild_id)
        person: dict[str, Any] = {"kind": Kind.PERSON, "subject_id": ANNA}
        await create(store, "Anna", owner_id=BEN, **person)
        await create(store, "Anna by Cara", owner_id=CARA, private=True, **person)
        await create(store, "Anna away", owner_id=BEN, guild_id=AWAY, **person)
        await create(store, "Anna's dog", owner_id=ANNA)
        await create(store, "Cara", owner_id=BEN, kind=Kind.PERSON, subject_id=CARA)
        assert await store.withdraw_consent(ANNA, HOME) == 2
        assert names(await store.known(scope(BEN, None))) == ["Anna away", "Cara"]
        assert names(await store.known(scope(CARA, None))) == []
        assert names(await store.known(scope(ANNA, None))) == ["Anna's dog"]
        assert not await store.has_consent(ANNA, BEN, HOME)
        assert not await store.has_consent(ANNA, CARA, HOME)
        assert await store.has_consent(ANNA, BEN, AWAY)
        assert await store.withdraw_consent(ANNA, HOME) == 0

    async def test_nobody_is_taught_who_has_not_agreed_or_has_taken_it_back(self, store: ConceptStore) -> None:
        person: dict[str, Any] = {"owner_id": BEN, "kind": Kind.PERSON, "subject_id": ANNA}
        await store.give_consent(ANNA, CARA, HOME)
        await store.give_consent(ANNA, BEN, AWAY)
        await store.give_consent(ANNA, BEN, HOME)
        await store.withdraw_consent(ANNA, HOME)
        with pytest.raises(NoConsent):
            await store.create_concept(new("Anna", **person), [photo()])
        assert await store.about(ANNA) == []
        await store.give_consent(ANNA, BEN, HOME)
        await store.create_concept(new("Anna", **person), [photo()])

    async def test_guilds_of_which_something_is_kept_are_known(self, store: ConceptStore) -> None:
        assert await store.guilds() == []
        await create(store, "Biscuit", guild_id=None)
        await create(store, "Milo")
        await store.set_setting(AWAY, "people", True)
        assert await store.guilds() == [HOME, AWAY]
        await store.give_consent(ANNA, BEN, GuildId(7))
        await store.delete_guild(HOME)
        assert await store.guilds() == [GuildId(7), AWAY]

    async def test_what_is_kept_of_a_guild_is_counted_private_concepts_too_and_no_name_is_told(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.save_regions((await store.photos(made.id))[0].id, seen(0, 1))
        await store.add_correction(made.id, [seen(0)], True, "photo", user_id=BEN)
        hidden = await create(store, "Milo", photos=1, owner_id=BEN, private=True)
        away = await create(store, "Rex", guild_id=AWAY)
        await store.add_correction(away.id, [seen(0)], True, "photo", user_id=BEN)
        await store.give_consent(ANNA, BEN, HOME)
        pictures = [*await store.photos(made.id), *await store.photos(hidden.id)]
        size = sum(len(one.data) + len(one.thumbnail) for one in pictures)
        assert await store.kept_in(HOME) == Kept(2, 3, size, 4, made.created_at, corrections=1, consents=1)
        assert await store.delete_guild(HOME) == 2
        assert await store.kept_in(HOME) == Kept(0, 0, 0, 0, None)

    async def test_all_that_is_about_a_person_is_found_wherever_it_was_taught(self, store: ConceptStore) -> None:
        await create(store, "Own", guild_id=AWAY, private=True)
        await create(store, "Shown", owner_id=BEN, kind=Kind.PERSON, subject_id=ANNA)
        await create(store, "Ben's", owner_id=BEN)
        assert names(await store.about(ANNA)) == ["Own", "Shown"]
        assert names(await store.about(CARA)) == []
