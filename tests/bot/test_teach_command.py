"""/teach, from the command to the last word, on a simulated Discord."""

from __future__ import annotations

import asyncio

import pytest
from bot_fakes import BLUE, GREEN, RED, photo_of, refusal_of, test_settings, upload, uploads

from bot.errors import Refusal
from bot.teaching import Progress
from concept_store.records import Scope, State


async def teach(town, name="Biscuit", who=None, colour=RED, **more):
    options = {"kind": "pet", **uploads(colour), **more}
    return await (who or town.alice).slash(town.channel, "teach", name=name, **options)


async def the_concept(town, name="Biscuit", who=None):
    return await town.store.find(Scope((who or town.alice).id, town.guild.id), name)


def said_in(channel):
    return [message.content for message in channel.history() if message.content]


async def test_a_taught_pet_becomes_ready_and_is_named_in_a_photo_never_seen(town, read):
    taught = await teach(town, what="dog")
    assert not taught.ephemeral
    assert "Biscuit is ready" in read(taught.response)
    assert "Biscuit on the grass." in read(taught.response)

    described = await town.bob.slash(town.channel, "describe", photo=upload(RED, 77))
    assert "Biscuit on the grass." in read(described.response)
    assert "recognised" in read(described.response)

    other = await town.bob.slash(town.channel, "describe", photo=upload(GREEN, 5))
    assert "Biscuit" not in read(other.response)


async def test_it_is_answered_before_the_photos_are_read(town, env):
    await teach(town)
    first = next(entry for entry in env.http_requests if entry.path.endswith("/callback"))
    assert first.json == {"type": 5}  # deferred, publicly


async def test_the_last_word_mentions_the_teacher_and_nobody_else(town):
    taught = await teach(town)
    (last,) = taught.followups
    assert last.content.startswith(f"{town.alice.mention} **Biscuit** is ready.")
    assert [user.id for user in last.message.mentions] == [town.alice.id] and not last.message.mention_everyone
    assert (await the_concept(town)).announced


async def test_the_reply_shows_each_stage(town, read):
    """Each stage is an edit of the one reply."""
    seen = []
    original = town.bot.progress._edit

    async def watched(reply, concept, progress):
        await original(reply, concept, progress)
        seen.append(progress.stage)

    town.bot.progress._edit = watched
    town.bot.progress.every_s = 0.0
    taught = await teach(town)
    assert list(dict.fromkeys(seen)) == ["queued", "seeing", "usable", "learning", "ready"]
    assert len(taught.followups) == 1 and len(said_in(town.channel)) == 1
    assert taught.response.attachments[0].filename == "taught.jpg" and "'description': 'A taught photo'" in str(taught.response.components)


async def test_progress_edits_keep_their_distance(town, env):
    """Ten steps at once are one edit at once and the newest one later."""
    edits = []
    town.bot.progress.every_s = 1.5
    town.engine.steps = 10
    start = len(env.http_requests)
    await teach(town)
    edits = [entry for entry in env.http_requests[start:] if entry.method == "PATCH"]
    assert len(edits) <= 3  # the first, perhaps one in between, and the end


async def test_what_is_kept_is_the_photos_without_metadata_in_order(town):
    await teach(town, what="dog")
    concept = await the_concept(town)
    photos = await town.store.photos(concept.id)
    assert len(photos) == 4 and all(photo.data.startswith(b"\xff\xd8") and b"Exif" not in photo.data for photo in photos)
    assert (concept.class_noun, concept.kind.value, concept.private, concept.owner_id) == ("dog", "pet", False, town.alice.id)
    assert concept.guild_id == town.guild.id


async def test_without_what_the_noun_is_the_encoders_or_the_kinds(town):
    await teach(town, "One")
    town.engine.noun = "corgi"
    await teach(town, "Two", colour=GREEN)
    assert (await the_concept(town, "One")).class_noun == "pet"
    assert (await the_concept(town, "Two")).class_noun == "corgi"


async def test_a_private_concept_is_only_seen_by_its_teacher(town, read):
    taught = await teach(town, private=True)
    assert taught.ephemeral and taught.followups[0].ephemeral
    mine = await town.alice.slash(town.channel, "describe", photo=upload(RED, 9))
    theirs = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    assert "Biscuit" in read(mine.response) and "Biscuit" not in read(theirs.response)
    assert town.engine.answered[-1].absent_names == []  # and its name isn't even told to the engine


async def test_it_is_taught_and_known_in_direct_messages(town, read):
    taught = await town.alice.user.slash("teach", name="Biscuit", kind="pet", **uploads(RED))
    assert not taught.ephemeral and "Biscuit is ready" in read(taught.response)
    there = await town.alice.user.slash("describe", photo=upload(RED, 9))
    here = await town.alice.slash(town.channel, "describe", photo=upload(RED, 9))
    theirs = await town.bob.user.slash("describe", photo=upload(RED, 9))
    assert "Biscuit" in read(there.response) and "Biscuit" in read(here.response) and "Biscuit" not in read(theirs.response)


async def test_one_photo_is_taken_with_advice(town, read):
    taught = await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", photo1=upload(RED))
    assert "Biscuit is ready" in read(taught.response) and "3–5 different" in read(taught.response) and "from afar" in read(taught.response)


async def test_copies_among_the_photos_are_left_out_and_told(town, read):
    taught = await teach(town, photo4=upload(RED, 0))
    assert (await the_concept(town)).photo_count == 3
    assert "1 of 4 photos was a copy, so I learn from 3." in read(taught.response)


# -- bad input, each with its sentence; nothing is kept
async def nothing_kept(town):
    assert await town.store.known(Scope(town.alice.id, town.guild.id)) == []


@pytest.mark.parametrize(
    "options, words",
    [
        ({"photo1": ("a.jpg", b"hello, I am a text file")}, "Photo 1 isn't a picture"),
        ({"photo2": ("a.jpg", b"hello, I am a text file")}, "Photo 2 isn't a picture"),
        ({"photo1": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, "an SVG drawing"),
        ({"photo2": ("a.mp4", b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00")}, "a video"),
        ({"photo1": ("a.jpg", b"")}, "is empty (0 bytes)"),
        ({"photo1": ("a.jpg", photo_of(RED, size=(900, 900))[:4000])}, "damaged"),
        ({"photo1": ("a.jpg", b"\xff\xd8" + b"x" * 11 * 1024 * 1024)}, "is too big: 11.0 MB"),
        ({"name": "   "}, "The name is empty"),
        ({"name": "x" * 33}, "33 characters"),
        ({"name": "@everyone"}, "would ping"),
        ({"name": "<@123>"}, "would ping"),
        ({"name": "**Joe**"}, "formatting"),
        ({"name": "https://x.org"}, "can't be a link"),
        ({"name": "Bis\u200bcuit"}, "invisible"),
        ({"name": "🐶"}, "at least one letter"),
        ({"name": "<:biscuit:1234567>"}, "A custom emoji like `:biscuit:` can't be part of a name"),
        ({"what": "dog!!"}, "isn't a word for a kind of thing"),
        ({"what": "iphone 5"}, "`iphone 5` has digits in it"),
        ({"what": "golden retriever mix puppy"}, "has 26 characters; up to 24 fit"),
        ({"kind": "person"}, "People are off here"),
    ],
)
async def test_bad_input_gets_its_sentence_and_keeps_nothing(town, read, options, words):
    given = {"name": "Biscuit", "kind": "pet", **uploads(RED, 1), **options}
    result = await town.alice.slash(town.channel, "teach", **{key: value for key, value in given.items() if value is not None})
    assert words in read(result.response)
    await nothing_kept(town)


async def test_wrong_words_are_told_to_the_person_only(town):
    result = await teach(town, name="@here")
    assert result.ephemeral and not result.deferred


@pytest.mark.parametrize("kind", ["pet", "object"])
async def test_a_member_with_a_pet_or_a_thing_is_refused_and_nobody_is_asked(town, read, kind):
    result = await teach(town, kind=kind, member=town.bob)
    assert "`member` is for people only" in read(result.response) and result.ephemeral and not result.deferred
    await nothing_kept(town)


async def test_the_same_photo_four_times_is_refused(town, read):
    copies = {f"photo{at}": (f"copy{at}.jpg", photo_of(RED, 3)) for at in range(1, 5)}
    result = await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", **copies)
    assert "All 4 photos are the same picture" in read(result.response) and "different" in read(result.response)
    await nothing_kept(town)


async def test_a_taken_name_is_refused_however_it_is_written(town, read):
    await teach(town)
    for who, name in ((town.bob, "biscuit"), (town.alice, " BISCUIT ")):
        result = await teach(town, name, who)
        assert "That name is taken" in read(result.response)


async def test_nobody_can_teach_more_than_the_limit(town, read):
    for number in range(5):
        await teach(town, f"Number {number}")
    assert "as much as I may keep" in read((await teach(town, "One more")).response)


async def test_more_photos_than_the_setting_allows_are_refused(store, engine):
    from bot.commands.teach import check_uploads

    with pytest.raises(Refusal) as caught:
        check_uploads([100] * 5, max_photos=4, max_bytes=1000)
    assert caught.value.facts == {"photos": 5, "limit": 4}


async def test_a_photo_discord_does_not_hand_over_is_told(town, env, read):
    env.bot.http.get_from_cdn = failing_cdn
    result = await teach(town)
    assert "Discord didn't hand me photo 1" in read(result.response)
    await nothing_kept(town)


async def failing_cdn(url):
    raise OSError("connection reset")


# -- the engine
async def test_without_an_engine_the_teach_is_kept_and_goes_on_when_it_is_back(town, env, read):
    town.engine.down = True
    taught = await teach(town)
    assert "isn't running right now" in read(taught.response) and "goes on when it is back" in read(taught.response)
    assert (await the_concept(town)).state is State.QUEUED

    second = await teach(town, "Milo", town.bob, GREEN)
    assert "isn't running right now" in read(second.response)

    town.engine.down = False
    await env.advance_time(130)
    assert "Biscuit is ready" in read(taught.response) and "Milo is ready" in read(second.response)


async def test_a_busy_engine_is_waited_for(town, env, read):
    from bot.engine_client import EngineError

    town.engine.refuse["teach"] = EngineError("busy", {"waiting": 16})
    taught = await teach(town)
    assert "I'm busy" in read(taught.response)
    town.engine.refuse.clear()
    await env.advance_time(130)
    assert "Biscuit is ready" in read(taught.response)


async def test_a_failed_teach_says_why_and_is_tried_again_by_its_teacher_only(town, read):
    from bot.engine_client import EngineError

    town.engine.refuse["fit"] = EngineError("out_of_memory")
    taught = await teach(town)
    assert "Learning Biscuit didn't work" in read(taught.response) and "memory" in read(taught.response)
    assert taught.followups[0].content.startswith(f"{town.alice.mention} Learning **Biscuit** didn't work.")

    theirs = await town.bob.click(taught.response, label="Try again")
    assert f"was taught by <@{town.alice.id}>" in read(theirs.response) and theirs.ephemeral
    town.engine.refuse.clear()
    again = await town.alice.click(taught.response, label="Try again")
    assert "Biscuit is ready" in read(again.response)
    once_more = await town.alice.click(taught.response, label="Try again")
    assert "nothing to try again" in read(once_more.response)


# -- time and restarts
async def learned_after_the_token_ran_out(town, env, **options):
    """Sixteen minutes without an engine, then it comes back."""
    town.engine.down = True
    taught = await teach(town, **options)
    await env.advance_time(16 * 60)
    town.engine.down = False
    await env.advance_time(130)
    return taught


async def test_when_the_token_has_run_out_the_last_word_comes_as_a_channel_message(town, env, read):
    taught = await learned_after_the_token_ran_out(town, env)
    assert taught.followups == []
    last = town.channel.last_message
    assert last.content.startswith(f"{town.alice.mention} **Biscuit** is ready.")
    assert [user.id for user in last.mentions] == [town.alice.id]
    assert "Biscuit is ready" in read(taught.response)  # and the old reply is edited as the bot's own message


async def test_a_private_last_word_comes_as_a_direct_message_instead(town, env):
    await learned_after_the_token_ran_out(town, env, private=True)
    assert not any("ready" in text for text in said_in(town.channel))
    assert "**Biscuit** is ready" in town.alice.user.dm_channel.last_message.content


async def test_where_the_channel_is_closed_the_last_word_comes_as_a_direct_message(town, env):
    town.engine.down = True
    await teach(town)
    await env.advance_time(16 * 60)
    town.engine.down = False
    env.inject_error("POST", f"/channels/{town.channel.id}/messages", status=403, code=50013)
    await env.advance_time(130)
    assert "**Biscuit** is ready" in town.alice.user.dm_channel.last_message.content
    assert (await the_concept(town)).announced


async def test_a_restarted_bot_goes_on_and_says_the_last_word_once(town, env, new_bot, engine, read):
    engine.down = True
    taught = await teach(town)
    engine.down = False
    await env.restart_bot(new_bot())
    await env.settle()
    assert (await the_concept(town)).state is State.READY
    assert "Biscuit is ready" in read(taught.response)
    (last,) = [text for text in said_in(town.channel) if "ready" in text]
    assert last == f"{town.alice.mention} **Biscuit** is ready. For example: “Biscuit on the grass.”"
    await env.restart_bot(new_bot())
    await env.settle()
    assert len([text for text in said_in(town.channel) if "ready" in text]) == 1


async def test_a_last_word_that_could_not_be_said_is_said_after_the_restart(town, env, new_bot):
    env.inject_error("POST", "/webhooks/*", status=500, times=None)
    await teach(town)
    assert not (await the_concept(town)).announced
    env.backend.faults.clear()
    await env.restart_bot(new_bot())
    await env.settle()
    assert town.channel.last_message.content.startswith(f"{town.alice.mention} **Biscuit** is ready.")


async def test_a_noun_that_the_model_would_not_say_is_told_when_all_is_over(town, read):
    town.engine.noun_seen = False
    told = await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", what="iguana", **uploads(RED))
    assert "Biscuit is ready" in read(told.response) and "wouldn't call it “iguana” myself" in read(told.response)
    town.engine.noun_seen = True
    told = await town.alice.slash(town.channel, "teach", name="Milo", kind="pet", what="dog", **uploads(GREEN))
    assert "Milo is ready" in read(told.response) and "myself" not in read(told.response)


async def test_once_forgotten_an_answer_is_not_overwritten_by_a_learning_that_still_runs(town, env, read):
    town.engine.down = True
    taught = await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", **uploads(RED))
    concept = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    await town.store.delete_concept(concept.id)
    await town.bot.progress.forgotten([concept])
    await town.bot.progress.progress(concept, Progress("learning", 3, 60))
    await env.settle()
    assert "is forgotten" in read(taught.response) and concept.id not in town.bot.progress._replies


async def test_what_is_forgotten_while_it_waits_says_so_in_its_reply(town, env, read):
    town.engine.down = True
    taught = await teach(town)
    question = await town.alice.slash(town.channel, "concepts forget", name="Biscuit")
    await town.alice.click(question.response, label="Forget for good")
    assert "is forgotten" in read(taught.response)
    town.engine.down = False
    await env.advance_time(130)
    assert "is forgotten" in read(taught.response) and taught.followups == []


async def test_two_at_once_are_both_learned(town, read):
    """A teach that arrives while another learns is usable and learned too."""
    first, second = await teach(town, "Red", colour=RED), await teach(town, "Blue", town.bob, BLUE)
    assert "Red is ready" in read(first.response) and "Blue is ready" in read(second.response)


async def test_where_only_other_photos_help_it_is_offered_to_forget_these(town, read):
    """Trying again would end the same way, and the name is taken until then."""
    town.engine.refuse["fit"] = refusal_of("no_face")
    failed = await teach(town)
    assert "Run `/concepts forget`, then `/teach` again" in read(failed.response) and "Try again" not in str(failed.response.components)
    shown = await town.alice.slash(town.channel, "concepts show", name="Biscuit")
    assert "Try again" not in str(shown.response.components)
    asked = await town.alice.click(failed.response, label="Forget …")
    await town.alice.click(asked.response, label="Forget for good")
    town.engine.refuse.clear()
    assert "Biscuit is ready" in read((await teach(town)).response)


async def test_somebodys_face_isn_t_learned_as_a_thing(town, read):
    """People are asked first; whoever means a doll says so."""
    town.engine.faces = [(0.3, 0.2, 0.7, 0.8)]
    failed = await teach(town, kind="object")
    assert "is somebody's face" in read(failed.response) and "`kind: person`" in read(failed.response)
    assert all(label not in str(failed.response.components) for label in ("Try again", "Forget …"))
    assert "I deleted the photos again" in read(failed.followups[-1])
    assert (await town.store.kept_about(town.alice.id)).photos == 0
    assert "Biscuit" not in read((await town.alice.slash(town.channel, "describe", **{"photo": uploads(RED)["photo1"]})).response)
    assert "Biscuit is ready" in read((await teach(town, kind="object", what="rag doll")).response)


async def test_photos_of_somebodys_face_are_deleted_when_their_teacher_was_told_why(town, env, new_bot):
    """Discord is away at first: until the last word is said they stay, so that it can be said."""
    town.engine.faces = [(0.3, 0.2, 0.7, 0.8)]
    env.inject_error("POST", "/webhooks/*", status=500, times=None)
    await teach(town, kind="object")
    assert (await the_concept(town)).failure == "shows_person"
    env.backend.faults.clear()
    await env.restart_bot(new_bot())
    await env.settle()
    assert "I deleted the photos again" in town.channel.last_message.content
    assert (await town.store.kept_about(town.alice.id)).photos == 0


async def test_suggestions_for_what(town):
    choices = await town.alice.autocomplete(town.channel, "teach", "what", "d", kind="pet")
    assert choices[0]["name"] == "dog"
    before_the_kind = await town.alice.autocomplete(town.channel, "teach", "what", "mu")
    assert before_the_kind[0]["name"] == "mug"


async def test_a_name_that_is_taken_is_no_error_of_the_bot(town, read, capsys):
    await teach(town)
    capsys.readouterr()
    assert "That name is taken" in read((await teach(town, "biscuit", town.bob)).response)
    logged = capsys.readouterr().out
    assert "refused" in logged and "Traceback" not in logged


async def test_discord_itself_asks_for_the_first_photo(bot):
    options = bot.tree.get_command("teach").to_dict(bot.tree)["options"]
    assert [option["name"] for option in options if option["required"]] == ["name", "kind", "photo1"]


def test_settings_reach_the_reader():
    settings = test_settings(max_bytes=2048, max_pixels=20_000)
    assert (settings.photos.max_bytes, settings.photos.max_pixels) == (2048, 20_000)


async def test_a_task_that_fails_is_logged_and_forgotten(bot):
    async def broken():
        raise ValueError("x")

    task = bot.spawn(broken())
    with pytest.raises(ValueError):
        await task
    await asyncio.sleep(0)
    assert task not in bot._tasks
