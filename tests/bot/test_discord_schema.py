"""Every body the bot sends fits Discord's own API description, and no message may ping anybody but a teacher.

The description is large and not part of the project: DISCORD_OPENAPI names the file (npm package discord-api-spec).
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import discord
import jsonschema
import pytest
from bot_fakes import GREEN, RED, photo_of, upload, uploads
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPEC = Path(os.environ.get("DISCORD_OPENAPI") or Path(__file__).parents[3] / "shared" / "discord" / "openapi.json")
needs_spec = pytest.mark.skipif(not SPEC.is_file(), reason="there is no openapi.json of Discord's here; DISCORD_OPENAPI names one")


@cache
def spec() -> tuple[dict[str, Any], Registry]:
    document = json.loads(SPEC.read_text())
    resource = Resource(contents=document, specification=DRAFT202012)
    return document, Registry().with_resource("urn:discord", resource)


def body_schema(method: str, path: str) -> str | None:
    """A JSON pointer to the schema of that request's body."""
    document, _ = spec()
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in operations:
            content = operations[method.lower()].get("requestBody", {}).get("content", {})
            if "application/json" in content:
                return f"/paths/{template.replace('/', '~1')}/{method.lower()}/requestBody/content/application~1json/schema"
    return None


def faults(method: str, path: str, body: Any) -> list[str]:
    pointer = body_schema(method, path)
    if pointer is None:
        return [f"no such request in Discord's description: {method} {path}"]
    _, registry = spec()
    validator = jsonschema.Draft202012Validator({"$ref": f"urn:discord#{pointer}"}, registry=registry)
    return [f"{method} {path}: {error.json_path} {error.message[:200]}" for error in validator.iter_errors(_as_documented(body))]


def _as_documented(body: Any) -> Any:
    """discord.py sends some ids as numbers, which Discord takes ("snowflakes … as strings or integers"); the description wants text."""
    if not isinstance(body, dict):
        return body
    ids = {
        "attachments": lambda files: [{**file, "id": str(file["id"])} for file in files],
        "users": lambda users: [*map(str, users)],
        "recipient_id": str,
    }
    told = {key: ids[key](value) if key in ids else value for key, value in body.items()}
    return {key: _as_documented(value) if key in ("data", "allowed_mentions") else value for key, value in told.items()}


async def a_busy_day(town) -> None:
    """Every command and button once, good and bad."""
    alice, bob, channel = town.alice, town.bob, town.channel
    managers = town.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
    boss = town.guild.add_member(town.env.create_user("boss"), roles=[managers])
    await alice.slash(channel, "teach", name="Biscuit", kind="pet", what="dog", **uploads(RED))
    await alice.slash(channel, "teach", name="Milo", kind="pet", private=True, **uploads(GREEN))
    await alice.slash(channel, "teach", name="@here", kind="pet", **uploads(GREEN))
    await bob.slash(channel, "describe", photo=upload(RED, 9))
    asked = await bob.slash(channel, "ask", question="who?", photo=upload(RED, 9))
    await bob.slash(channel, "where", name="Biscuit", photo=upload(RED, 9))
    await bob.slash(channel, "describe", photo=upload(RED, 9), why=True)
    await bob.click(asked.response, label="Why?")
    await bob.click(asked.response, label="✓ right")
    await bob.click(asked.response, label="✗ not Biscuit")
    await alice.click(asked.response, label="↩ Undo")
    await bob.slash(channel, "server balance", balance="strict")
    await bob.slash(channel, "describe", photo=("a.txt", b"hello"))
    message = await bob.send(channel, "look", attachments=[upload(RED, 9), ("b.jpg", photo_of(GREEN))])
    await alice.context_menu(channel, "Describe photos", message)
    await alice.autocomplete(channel, "concepts show", "name", "b")
    await alice.autocomplete(channel, "teach", "what", "d")
    await alice.slash(channel, "concepts list")
    shown = await alice.slash(channel, "concepts show", name="Biscuit")
    await alice.click(shown.response, label="Forget …")
    await alice.slash(channel, "concepts rename", name="Biscuit", new_name="Muffin")
    await alice.slash(channel, "concepts add", name="Milo", **uploads(GREEN, 2, 30))
    await bob.slash(channel, "concepts add", name="Muffin", **uploads(GREEN, 2, 30))
    forgetting = await alice.slash(channel, "concepts forget", name="Milo")
    await alice.click(forgetting.response, label="Forget for good")
    forgotten = await boss.slash(channel, "server forget")
    privacy = await alice.slash(channel, "privacy")
    await alice.click(privacy.response, label="Get a copy")
    await alice.click(privacy.response, label="Delete everything …")
    await alice.click(privacy.response, label="Delete everything for good")
    await boss.click(forgotten.response, label="Delete everything for good")


def sent(env) -> list[Any]:
    return [entry for entry in env.http_requests if entry.json is not None]


@needs_spec
async def test_every_body_fits_discords_own_description(town, env):
    await a_busy_day(town)
    wrong = [fault for entry in sent(env) for fault in faults(entry.method, entry.path, entry.json)]
    assert len(sent(env)) > 25
    assert wrong == []


@needs_spec
def test_a_wrong_body_would_be_noticed():
    assert faults("POST", "/channels/123/messages", {"content": 7})
    assert faults("POST", "/no/such/thing", {})


async def test_no_message_may_ping_anybody_but_its_teacher(town, env):
    await a_busy_day(town)
    bodies = [entry.json for entry in sent(env) if isinstance(entry.json, dict)]
    messages = [body.get("data", body) for body in bodies]
    policies = [body["allowed_mentions"] for body in messages if "allowed_mentions" in body]
    told = [body for body in messages if "content" in body or "components" in body]
    assert len(told) > 15 and all("allowed_mentions" in body for body in told)
    for policy in policies:
        assert policy["parse"] == [] and policy.get("roles", []) == []
        assert set(policy.get("users", [])) <= {str(town.alice.id), town.alice.id}


def test_the_commands_are_within_discords_limits(bot):
    commands = {command["name"]: command for command in (command.to_dict(bot.tree) for command in bot.tree.get_commands())}
    assert set(commands) == {"teach", "describe", "ask", "Describe photos", "concepts", "people", "server", "privacy", "where"}
    teach = [option["name"] for option in commands["teach"]["options"]]
    assert teach == ["name", "kind", *(f"photo{number}" for number in range(1, 11)), "what", "private", "member"]
    for name, command in commands.items():
        assert command["contexts"] == ([0] if name in ("people", "server") else [0, 1])  # what is a server's
        assert command["integration_types"] == [0, 1]
        for option in (one for top in command.get("options", []) for one in (top, *top.get("options", []))):
            assert 1 <= len(option["description"]) <= 100


def test_no_privileged_intent_is_asked_for(bot):
    assert not (bot.intents.message_content or bot.intents.members or bot.intents.presences)
