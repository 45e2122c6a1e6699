"""Who may forget, change and see a concept."""

from __future__ import annotations

import pytest
from test_replies import concept

from bot.errors import Refusal
from bot.permissions import can_forget, refuse_changing, visible

ALICE, BOB, HERE, ELSEWHERE = 1, 2, 100, 200


def of_alice(private: bool = False, guild_id: int | None = HERE):
    return concept(owner_id=ALICE, private=private, guild_id=guild_id)


@pytest.mark.parametrize(
    "user, guild, moderates, private, may",
    [
        (ALICE, HERE, False, False, True),
        (ALICE, None, False, True, True),
        (BOB, HERE, False, False, False),
        (BOB, HERE, True, False, True),
        (BOB, ELSEWHERE, True, False, False),
        (BOB, HERE, True, True, False),  # a moderator doesn't even know of it
        (BOB, None, True, False, False),
    ],
)
def test_its_teacher_and_the_servers_managers_forget_it(user, guild, moderates, private, may):
    assert can_forget(of_alice(private), user, guild, moderates) is may


def test_nobody_manages_what_was_taught_in_direct_messages():
    assert not can_forget(of_alice(guild_id=None), BOB, None, moderates=True)


def test_only_its_teacher_changes_it():
    refuse_changing(of_alice(), ALICE)
    with pytest.raises(Refusal) as caught:
        refuse_changing(of_alice(), BOB)
    assert caught.value.facts == {"name": "Biscuit", "teacher_id": ALICE}


@pytest.mark.parametrize(
    "user, guild, private, taught_in, seen",
    [
        (BOB, HERE, False, HERE, True),
        (BOB, HERE, True, HERE, False),
        (BOB, ELSEWHERE, False, HERE, False),
        (BOB, None, False, HERE, False),
        (ALICE, None, False, HERE, True),
        (ALICE, ELSEWHERE, True, HERE, True),
        (ALICE, ELSEWHERE, False, HERE, False),
        (ALICE, HERE, True, None, True),
    ],
)
async def test_what_is_visible_is_what_the_store_knows(store, user, guild, private, taught_in, seen):
    """The rule for buttons and the store's rule for commands are the same rule."""
    from concept_store.records import GuildId, Kind, NewConcept, NewPhoto, Scope, UserId

    new = NewConcept("Biscuit", Kind.PET, "dog", UserId(ALICE), GuildId(taught_in) if taught_in else None, private, None)
    kept = await store.create_concept(new, [NewPhoto(b"x", b"x", "d")])
    assert visible(kept, user, guild) is seen
    assert bool(await store.known(Scope(UserId(user), GuildId(guild) if guild else None))) is seen
