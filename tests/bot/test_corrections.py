"""What members say to an answer: it sticks, the answer changes, and who may say what."""

from __future__ import annotations

from dataclasses import replace

import discord
import pytest
from bot_fakes import ENCODER, GREEN, RED, painted, upload, uploads

from bot.engine_client import EngineError, EngineUnreachable
from bot.marks import Mark
from bot.replies import question_in, quoted, unquoted
from concept_store.errors import StoreError
from concept_store.records import Kind, Said, Scope


async def teach(town, name="Biscuit", colour=RED, who=None, **more):
    return await (who or town.alice).slash(town.channel, "teach", name=name, kind="pet", **uploads(colour), **more)


async def describe(town, who=None, photo=None, **more):
    return (await (who or town.bob).slash(town.channel, "describe", photo=photo or upload(RED, 9), **more)).response


async def concept(town, name="Biscuit", who=None):
    return await town.store.find(Scope((who or town.alice).id, town.guild.id), name)


def labels(message):
    return [button["label"] for button in buttons(message)]


def components(message, kind):
    return [part for box in message.components for part in box["components"] if part["type"] == kind]


def buttons(message):
    return [item for row in components(message, 1) for item in row["components"] if item["type"] == 2]


def fact_of(message):
    return buttons(message)[0]["custom_id"].split(":")[2]


async def test_a_wrong_name_is_taken_back_and_the_same_photo_never_gets_it_again(town, read):
    await teach(town)
    said = await describe(town)
    assert labels(said) == ["✓ right", "✗ not Biscuit", "Why?"]
    told = await town.bob.click(said, label="✗ not Biscuit")
    assert "an animal on the grass." in read(told.response) and "isn't in this photo. I'll remember" in read(told.response)
    (kept,) = await town.store.corrections((await concept(town)).id, ENCODER)
    assert not kept.present
    assert len(town.engine.fitted[-1].corrections) == 1
    again = await describe(town, who=town.alice)
    assert "an animal on the grass." in read(again) and "Biscuit recognised" not in read(again)


async def test_a_missed_one_is_added_from_the_list_and_named_from_then_on(town, read):
    await teach(town)
    said = await describe(town, photo=upload(GREEN, 9))
    biscuit = await concept(town)
    told = await town.bob.select(said, [biscuit.id])
    assert "Biscuit on the grass." in read(told.response) and "**Biscuit** is in this photo" in read(told.response)
    assert (len(town.engine.fitted[-1].positives), town.engine.fitted[-1].confirmed) == (5, 1)
    assert "Biscuit on the grass." in read(await describe(town, photo=upload(GREEN, 9)))


async def test_right_is_kept_as_one_more_photo_and_the_answer_stays(town, read):
    await teach(town)
    said = await describe(town)
    told = await town.bob.click(said, label="✓ right")
    assert any("I'll remember that **Biscuit** is in this photo" in read(answer) for answer in told.followups)
    assert [one.present for one in await town.store.corrections((await concept(town)).id, ENCODER)] == [True]


async def test_right_is_said_of_whom_the_answer_names_whatever_the_heads_say_by_now(town, read, monkeypatch):
    await teach(town)
    await teach(town, "Rex", GREEN)
    said = await describe(town)
    match, rex = town.store.match, await concept(town, "Rex")

    async def rex_by_now(*args, **options):
        return [replace(one, concept=rex) for one in await match(*args, **options)]

    monkeypatch.setattr(town.store, "match", rex_by_now)
    told = await town.bob.click(said, label="✓ right")
    assert any("I'll remember that **Biscuit** is in this photo" in read(answer) for answer in told.followups)
    assert await town.store.corrections(rex.id, ENCODER) == []


async def test_a_question_is_answered_again_after_a_correction(town, read):
    await teach(town)
    asked = await town.bob.slash(town.channel, "ask", question="what_is *this* one @here?", photo=upload(RED, 9))
    await town.bob.click(asked.response, label="✗ not Biscuit")
    assert town.engine.answered[-1].question == "what_is *this* one @here?"
    assert town.engine.answered[-1].concepts == []


async def test_a_correction_is_undone_by_who_made_it_the_teacher_or_a_manager_and_by_nobody_else(town, read):
    await teach(town)
    carol = town.guild.add_member(town.env.create_user("carol"))
    role = town.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
    boss = town.guild.add_member(town.env.create_user("boss"), roles=[role])
    for undoer in (town.bob, town.alice, boss):
        said = await describe(town)
        told = await town.bob.click(said, label="✗ not Biscuit")
        refused = await carol.click(told.response, label="↩ Undo")
        assert any("taken back by whoever made it" in read(answer) for answer in refused.followups)
        back = await undoer.click(told.response, label="↩ Undo")
        assert "Biscuit on the grass." in read(back.response)
    assert await town.store.corrections((await concept(town)).id, ENCODER) == []


async def test_where_a_word_is_taken_back_what_another_said_of_the_photo_before_holds_again(town, read):
    await teach(town)
    carol = town.guild.add_member(town.env.create_user("carol"))
    biscuit = await concept(town)
    await carol.click(await describe(town), label="✓ right")
    told = (await town.bob.click(await describe(town), label="✗ not Biscuit")).response
    assert "an animal on the grass." in read(told)
    back = (await town.bob.click(told, label="↩ Undo")).response
    assert "Biscuit on the grass." in read(back)
    assert f"That is taken back. What {carol.mention} said holds: **Biscuit** is in this photo." in read(back)
    assert [one.present for one in await town.store.corrections(biscuit.id, ENCODER)] == [True]
    assert len(town.engine.fitted[-1].corrections) == 0 and town.engine.fitted[-1].confirmed == 1


@pytest.mark.parametrize("undoer", ["bob", "alice"])
async def test_undo_that_is_pressed_again_takes_nobody_elses_word_back(town, read, undoer):
    """Bob's own, and Alice's, who teaches it: the first time the answer couldn't be made anew."""
    await teach(town)
    carol = town.guild.add_member(town.env.create_user("carol"))
    biscuit = await concept(town)
    await carol.click(await describe(town), label="✓ right")
    told = (await town.bob.click(await describe(town), label="✗ not Biscuit")).response
    town.engine.refuse["answer"] = EngineUnreachable()
    (whisper,) = (await getattr(town, undoer).click(told, label="↩ Undo")).followups
    assert f"That is taken back. What {carol.mention} said holds: **Biscuit** is in this photo. But I can't describe" in read(whisper)
    town.engine.refuse.clear()
    again = await getattr(town, undoer).click(told, label="↩ Undo")
    assert "Biscuit on the grass." in read(again.response) and again.followups == []
    (left,) = await town.store.corrections(biscuit.id, ENCODER)
    assert left.present and await town.store.said(biscuit.id, left.digest) == Said(True, carol.id)


async def test_whoever_manages_the_server_undoes_their_own_click_and_not_the_teachers(town, read):
    await teach(town)
    role = town.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
    boss = town.guild.add_member(town.env.create_user("boss"), roles=[role])
    first, second = await describe(town), await describe(town)
    await town.alice.click(first, label="✗ not Biscuit")
    told = (await boss.click(second, label="✗ not Biscuit")).response
    back = (await boss.click(told, label="↩ Undo")).response
    assert f"What {town.alice.mention} said holds: **Biscuit** isn't in this photo." in read(back)
    (left,) = await town.store.corrections((await concept(town)).id, ENCODER)
    assert not left.present


async def test_who_has_said_something_of_a_photo_takes_it_back_though_another_has_said_more_since(town, read):
    await teach(town)
    carol = town.guild.add_member(town.env.create_user("carol"))
    biscuit = await concept(town)
    first = (await town.bob.click(await describe(town), label="✗ not Biscuit")).response
    (digest,) = [one.digest for one in await town.store.corrections(biscuit.id, ENCODER)]
    await town.store.add_correction(biscuit.id, [], False, digest, carol.id)
    back = (await town.bob.click(first, label="↩ Undo")).response
    assert f"What {carol.mention} said holds: **Biscuit** isn't in this photo." in read(back) and "an animal on the grass." in read(back)
    assert await town.store.said(biscuit.id, digest) == Said(False, carol.id)


async def test_what_the_teacher_said_isnt_changed_by_way_of_whoever_agrees(town, read):
    await teach(town)
    carol = town.guild.add_member(town.env.create_user("carol"))
    said = await describe(town)
    await town.alice.click(said, label="✓ right")
    await carol.click(said, label="✓ right")
    refused = await town.bob.click(said, label="✗ not Biscuit")
    assert any("has already said how it is in this photo" in read(answer) for answer in refused.followups)


async def test_an_undone_correction_is_out_of_the_answer_at_once(town, read):
    """The head that learned from it is fitted anew before the photo is looked at again."""
    await teach(town)
    fit = town.engine.fit

    async def silenced_by_corrections(request):
        reply = await fit(request)
        return reply.model_copy(update={"head": reply.head.model_copy(update={"biases": [-9.0]})}) if request.corrections else reply

    town.engine.fit = silenced_by_corrections
    said = await describe(town)
    told = await town.bob.click(said, label="✗ not Biscuit")
    back = await town.bob.click(told.response, label="↩ Undo")
    assert "Biscuit on the grass." in read(back.response) and "is taken back" in read(back.response)


async def test_what_the_teacher_said_of_a_photo_nobody_else_changes(town, read):
    await teach(town)
    said = await describe(town)
    await town.alice.click(said, label="✓ right")
    refused = await town.bob.click(said, label="✗ not Biscuit")
    assert any("has already said how it is in this photo" in read(answer) for answer in refused.followups)


@pytest.mark.parametrize("names", [("Rex", "Biscuit"), ("Biscuit", "Rex")])
async def test_one_that_is_refused_is_no_reason_to_lose_what_is_right_about_others(town, read, names):
    """Rex's teacher has said of another answer to the same photo that he isn't in it."""
    town.engine.sees_quarters = True
    teachers = {"Rex": town.alice, "Biscuit": town.bob}
    for name, colour in zip(names, (RED, GREEN), strict=True):
        await teach(town, name, colour, who=teachers[name])
    photo = painted(RED, GREEN, (48, 0, 96, 64), (96, 64))
    said, other = await describe(town, photo=photo), await describe(town, photo=photo)
    assert {"✗ not Rex", "✗ not Biscuit"} <= set(labels(said))
    await town.alice.click(other, label="✗ not Rex")
    carol = town.guild.add_member(town.env.create_user("carol"))
    told = " ".join(read(answer) for answer in (await carol.click(said, label="✓ right")).followups)
    assert "I'll remember that **Biscuit** is in this photo" in told and "has already said how it is in this photo" in told
    kept = {name: await town.store.corrections((await concept(town, name)).id, ENCODER) for name in names}
    assert [one.present for one in kept["Rex"]] == [False] and [one.present for one in kept["Biscuit"]] == [True]


async def test_a_members_word_is_not_told_as_the_heads_certainty(town, read):
    await teach(town)
    unsure(town, 0.4)
    told = await town.bob.click(await describe(town), label="Yes, Biscuit")
    assert "**Biscuit**: somebody told me so" in read(told.response) and "sure" not in read(told.response)
    why = read((await town.bob.click(told.response, label="Why?")).followups[-1])
    assert "somebody told me that it is in this photo. I think it is in the frame." in why
    place = read((await town.bob.slash(town.channel, "where", name="Biscuit", photo=upload(RED, 9))).response)
    assert place.startswith("**Biscuit** is in this photo because somebody told me so; I think it is here")


async def test_a_private_concept_is_neither_offered_in_public_nor_corrected_by_others(town, read):
    await teach(town, private=True)
    public = await describe(town, who=town.alice, photo=upload(GREEN, 9))
    assert "Biscuit" not in str(public.components)
    hidden = await describe(town, who=town.alice, photo=upload(GREEN, 9), private=True)
    assert "Biscuit" in str(hidden.components)
    named = await describe(town, who=town.alice)
    refused = await town.bob.click(named, label="✗ not Biscuit")
    assert any("has been forgotten meanwhile" in read(answer) for answer in refused.followups)


async def test_a_photo_that_is_gone_is_said(town, read, monkeypatch):
    await teach(town)
    said = await describe(town)

    async def gone(url):
        raise OSError

    monkeypatch.setattr(town.bot.http, "get_from_cdn", gone)
    told = await town.bob.click(said, label="✗ not Biscuit")
    assert any("can't be fetched any more" in read(answer) for answer in told.followups)


async def test_a_doubtful_one_is_asked_about_and_not_named(town, read):
    await teach(town)
    unsure(town, 0.4)
    said = await describe(town)
    assert "an animal on the grass." in read(said) and "Is this **Biscuit**?" in read(said)
    assert town.engine.answered[-1].absent_names == ["Biscuit"]
    told = await town.bob.click(said, label="Yes, Biscuit")
    assert "Biscuit on the grass." in read(told.response) and "Is this" not in read(told.response)


async def test_no_to_a_doubt_is_remembered(town, read):
    await teach(town)
    unsure(town, 0.4)
    told = await town.bob.click(await describe(town), label="No")
    assert "Is this" not in read(told.response) and "Is this" not in read(await describe(town))


@pytest.mark.parametrize(
    "balance, sure, named",
    [
        ("strict", 0.6, False),
        ("strict", 0.8, True),
        ("normal", 0.5, False),
        ("normal", 0.6, True),
        ("eager", 0.3, False),
        ("eager", 0.5, True),
    ],
)
async def test_a_server_moves_the_balance(town, read, balance, sure, named):
    await teach(town)
    role = town.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
    owner = town.guild.add_member(town.env.create_user("boss"), roles=[role])
    told = await owner.slash(town.channel, "server balance", balance=balance)
    assert balance in read(told.response)
    unsure(town, sure)
    said = read(await describe(town))
    assert ("Biscuit on the grass." in said) is named and ("Is this **Biscuit**?" in said) is not named
    now = await town.bob.slash(town.channel, "server balance")
    assert f"I am {balance}:" in read(now.response) and now.ephemeral


async def test_only_who_manages_the_server_moves_it(town, read):
    told = await town.bob.slash(town.channel, "server balance", balance="eager")
    assert "Only whoever manages this server" in read(told.response)


def unsure(town, score):
    """From now on heads are this sure, unless a member has said something of the photo."""
    match = town.store.match

    async def doubtful(scope, sights, threshold=0.5, at_most=4, digest=None):
        found = await match(scope, sights, 0.0, at_most, digest)
        found = [one if one.score == 1.0 and await town.store.said(one.concept.id, digest) else replace(one, score=score) for one in found]
        return [one for one in found if one.score >= threshold]

    town.store.match = doubtful


async def test_an_engine_that_is_away_when_a_head_should_learn_is_asked_again(town):
    await teach(town)
    said = await describe(town)
    town.engine.refuse["fit"] = EngineUnreachable()
    await town.bob.click(said, label="✗ not Biscuit")
    fitted = len(town.engine.fitted)
    town.engine.refuse.clear()
    await town.bot.teacher.refit()
    assert len(town.engine.fitted) == fitted + 1
    await town.bot.teacher.refit()
    assert len(town.engine.fitted) == fitted + 1


async def test_the_buttons_outlive_a_restart(town, env, new_bot, read):
    await teach(town)
    said = await describe(town)
    green = await describe(town, photo=upload(GREEN, 9))
    await env.restart_bot(new_bot())
    told = await town.bob.click(said, label="✗ not Biscuit")
    assert "an animal on the grass." in read(told.response)
    told = await town.bob.select(green, [(await concept(town)).id])
    assert "Biscuit on the grass." in read(told.response)


async def test_confirming_nobody_gets_its_sentence(town, read):
    await teach(town)
    said = await describe(town)
    await town.store.delete_concept((await concept(town)).id)
    told = await town.bob.click(said, label="✓ right")
    assert any("nothing to confirm" in read(answer) for answer in told.followups)


async def test_undoing_what_was_taken_back_elsewhere_brings_the_answer_up_to_date(town, read):
    await teach(town)
    corrected = await town.bob.click(await describe(town), label="✗ not Biscuit")
    await town.store.remove_corrections((await concept(town)).id)
    told = await town.bob.click(corrected.response, label="↩ Undo")
    assert "Biscuit on the grass." in read(told.response) and "is taken back" in read(told.response) and told.followups == []


# -- where only the new answer fails
AWAY = [EngineUnreachable(), EngineUnreachable(slow=True), EngineError("busy"), StoreError()]


@pytest.mark.parametrize("error", AWAY, ids=str)
async def test_a_correction_that_is_kept_is_called_noted_and_its_button_gives_the_answer_later(town, read, error):
    await teach(town)
    said = await describe(town)
    town.engine.refuse["answer"] = error
    told = await town.bob.click(said, label="✗ not Biscuit")
    (whisper,) = told.followups
    assert "Noted: **Biscuit** isn't in this photo. But I can't describe the photo anew just now" in read(whisper) and whisper.ephemeral
    assert "Nothing was changed" not in read(whisper)
    assert len(await town.store.corrections((await concept(town)).id, ENCODER)) == 1 and len(town.engine.fitted[-1].corrections) == 1
    assert "Biscuit on the grass." in read(said) and labels(said) == ["✓ right", "✗ not Biscuit", "Why?"]
    town.engine.refuse.clear()
    again = await town.bob.click(said, label="✗ not Biscuit")
    assert "an animal on the grass." in read(again.response) and "↩ Undo" in labels(again.response)
    assert len(await town.store.corrections((await concept(town)).id, ENCODER)) == 1


@pytest.mark.parametrize("error", AWAY, ids=str)
async def test_what_is_taken_back_is_called_so_and_undo_gives_the_answer_later(town, read, error):
    await teach(town)
    corrected = (await town.bob.click(await describe(town), label="✗ not Biscuit")).response
    town.engine.refuse["answer"] = error
    told = await town.bob.click(corrected, label="↩ Undo")
    (whisper,) = told.followups
    assert "What was said about **Biscuit** in this photo is taken back. But I can't describe" in read(whisper) and whisper.ephemeral
    assert "Nothing was changed" not in read(whisper)
    assert await town.store.corrections((await concept(town)).id, ENCODER) == []
    assert "↩ Undo" in labels(corrected)
    town.engine.refuse.clear()
    again = await town.bob.click(corrected, label="↩ Undo")
    assert "Biscuit on the grass." in read(again.response) and "is taken back" in read(again.response)


async def test_a_correction_is_kept_though_its_answer_was_deleted_meanwhile(town, env, read):
    await teach(town)
    said = await describe(town)
    env.inject_error("PATCH", "/webhooks/*", status=404, times=1)
    told = await town.bob.click(said, label="✗ not Biscuit")
    (whisper,) = told.followups
    assert "Noted: **Biscuit** isn't in this photo." in read(whisper) and "Press the same button" not in read(whisper)
    assert [one.present for one in await town.store.corrections((await concept(town)).id, ENCODER)] == [False]


async def test_where_nothing_was_noted_yet_it_is_not_said_to_be(town, read):
    await teach(town)
    said = await describe(town)
    town.engine.refuse["see"] = EngineUnreachable()
    told = await town.bob.click(said, label="✗ not Biscuit")
    assert ["Nothing was changed; try again" in read(answer) for answer in told.followups] == [True]
    assert await town.store.corrections((await concept(town)).id, ENCODER) == []


async def test_whoever_manages_the_server_takes_all_corrections_back_too(town, read):
    await teach(town)
    role = town.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
    boss = town.guild.add_member(town.env.create_user("boss"), roles=[role])
    await town.bob.click(await describe(town), label="✗ not Biscuit")
    shown = (await boss.slash(town.channel, "concepts show", name="Biscuit")).response
    told = await boss.click(shown, label="Undo corrections")
    assert any("1 correction of **Biscuit** taken back" in read(answer) for answer in told.followups)


async def test_a_teacher_takes_all_corrections_of_a_concept_back(town, read):
    await teach(town)
    await town.bob.click(await describe(town), label="✗ not Biscuit")
    shown = (await town.alice.slash(town.channel, "concepts show", name="Biscuit")).response
    told = await town.alice.click(shown, label="Undo corrections")
    assert any("1 correction of **Biscuit** taken back" in read(answer) for answer in told.followups)
    assert town.engine.fitted[-1].corrections == []
    assert "Biscuit on the grass." in read(await describe(town))
    told = await town.alice.click(shown, label="Undo corrections")
    assert any("nothing to take back" in read(answer) for answer in told.followups)
    others = (await town.bob.slash(town.channel, "concepts show", name="Biscuit")).response
    assert "Undo corrections" not in str(others.components)


async def test_of_a_persons_photo_no_vector_is_kept(town):
    """Faces of people nobody asked may be in it; what was said still holds for the photo."""
    await teach(town)
    biscuit = await concept(town)
    find = town.store.concept

    async def as_person(concept_id):
        return replace(await find(concept_id), kind=Kind.PERSON)

    said = await describe(town)
    town.store.concept = as_person
    await town.bob.click(said, label="✗ not Biscuit")
    town.store.concept = find
    assert await town.store.corrections(biscuit.id, ENCODER) == []
    assert not (await town.store.said(biscuit.id, Mark.unpack(fact_of(said)).digest)).present


async def test_a_concept_keeps_so_many_corrections_as_the_settings_say(town):
    """A store can't be filled by clicking: vectors of the oldest go. What was said of the photo stays."""
    teaching = town.bot.settings.teaching.model_copy(update={"max_corrections_per_concept": 2})
    town.bot.settings = town.bot.settings.model_copy(update={"teaching": teaching})
    await teach(town)
    biscuit = await concept(town)
    said = [await describe(town, photo=upload(RED, seed)) for seed in (10, 11, 12)]
    for answer in said:
        await town.bob.click(answer, label="✗ not Biscuit")
    digests = [Mark.unpack(fact_of(answer)).digest for answer in said]
    assert [(await town.store.said(biscuit.id, digest)).present for digest in digests] == [False, False, False]
    assert [one.digest for one in await town.store.corrections(biscuit.id, ENCODER)] == digests[1:]
    assert len(town.engine.fitted[-1].corrections) == 2


# -- asked by name
async def test_whoever_is_asked_about_and_not_seen_is_said_without_asking_the_model(town, read):
    await teach(town)
    await teach(town, "Milo", GREEN)
    before = len(town.engine.answered)
    told = await town.bob.slash(town.channel, "ask", question="where is milo's ball?", photo=upload(RED, 9))
    assert "I don't see Milo in this photo." in read(told.response) and len(town.engine.answered) == before
    told = await town.bob.slash(town.channel, "ask", question="what is Biscuit doing?", photo=upload(RED, 9))
    assert "yes, Biscuit" in read(told.response)
    told = await town.bob.slash(town.channel, "ask", question="is it a Milotic?", photo=upload(RED, 9))
    assert "yes, Biscuit" in read(told.response)


# -- what a button carries
def test_a_mark_comes_back_and_leaves_room_in_a_custom_id():
    mark = Mark(2**63 - 1, "ab" * 32, "f" * 32)
    assert Mark.unpack(mark.packed) == mark
    assert len(f"right:0:{mark.packed}") <= 100


@pytest.mark.parametrize("question", ["who?", "*a* _b_ `c` <@1> [x](y) #1 \\* https://a.b @here"])
def test_a_question_is_read_again_as_it_was_asked(question):
    assert unquoted(quoted(question)) == question
    assert question_in(f"-# {quoted(question)}\nyes") == question
    assert question_in(f"{quoted('-# no question')}\nyes") is None
