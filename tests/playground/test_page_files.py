"""What bot/page adds to SimCord's page is served, packaged, and made of names that the pinned SimCord has: no browser needed."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import discord
import httpx

from bot.playground import ADDED, PAGE, TITLE, LiveEnv, live_page, make_world

SPEC = find_spec("simcord")
assert SPEC is not None and SPEC.origin is not None
STATIC = Path(SPEC.origin).parent / "preview/static"
FILES = ("index.html", "preview.css", "app.js", "commands.js", "composer.js", "messages.js", "timeline.js", "actions.js", "media.js")
SIMCORD = "\n".join((STATIC / name).read_text() for name in (*FILES, "workbench.js", "presentation.js"))
OURS = {name: (PAGE / name).read_text() for name in ADDED.values()}


async def test_the_style_and_script_follow_simcords_own_under_our_title() -> None:
    async with live_page(discord.Client(intents=discord.Intents.none())) as url, httpx.AsyncClient(trust_env=False) as client:
        served = {path: (await client.get(httpx.URL(url).join(path))) for path in ("/", "/dom.js", *ADDED)}
        alive = await client.head(httpx.URL(url).join("/backend-diagnostics.json"))  # what page.js asks whether the program is there
    assert {answer.status_code for answer in (*served.values(), alive)} == {200}
    assert "<title>MyVLM Bot on a simulated Discord</title>" in served["/"].text
    assert "'self'" in served["/"].headers["content-security-policy"]
    for path, name in ADDED.items():
        assert served[path].text == f"{(STATIC / path[1:]).read_text()}\n{OURS[name]}"
    assert served["/dom.js"].text == (STATIC / "dom.js").read_text()


def names_in(text: str) -> set[str]:
    """The ids and classes of selectors, without our own."""
    return {name for name in re.findall(r"[#.]([a-z][a-z0-9]*(?:-[a-z0-9]+)+)", text) if not name.startswith("myvlm-")}


def known(name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", SIMCORD) is not None


def test_every_element_of_simcords_that_the_page_touches_exists_in_the_pinned_version() -> None:
    style = names_in(re.sub(r"/\*.*?\*/|\{[^{}]*\}", "", OURS["page.css"], flags=re.DOTALL))
    script = {name for quoted in re.findall(r"[\"`]([^\"`]*)[\"`]", OURS["page.js"]) for name in names_in(quoted)}
    assert len(style) > 10 and len(script) > 20
    assert [name for name in sorted(style | script) if not known(name)] == []
    assert not known("channel-composer-box")  # the check itself tells


THEIRS = (
    'id="refresh"',
    '<select id="viewer-picker"',
    "<strong>SimCord</strong><small>Preview</small>",
    TITLE[0],
    '"Action was not completed."',
    '"Action is awaiting a confirmed result."',
    "`OPTIONS MATCHING ${",
    '"Choose file"',
    "exceed the 25 MiB aggregate limit",
    "25 * 1024 * 1024",
    "10 * 1024 * 1024",
    'option.type === "attachment"',
    "sendButton.dataset.mode = sendLabel",
    '"Save"',
    'setAttribute("aria-busy", "false")',
    "item.dataset.value",
    "pill.dataset.option",
    '"simcordPreview"',
    "commandPicker: commandPicker.status()",
    "options: optionsFor().map(optionStatus)",
    "size: raw.file.size",
    "type: option.type",
    "present: result.present",
    "pendingAction: state.pendingAction ?",
    "uncertainRequestId: state.transport.uncertainRequestId",
)


def test_the_sentences_and_states_that_the_page_goes_by_are_simcords() -> None:
    assert [text for text in THEIRS if text not in SIMCORD] == []


def test_the_first_viewer_manages_the_server() -> None:
    env = LiveEnv(discord.Client(intents=discord.Intents.none()))
    world = make_world(env)
    assert env.backend.guilds[world.channel.guild.id].owner_id == world.members[0].id


def test_the_files_are_packaged() -> None:
    project = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    assert (PAGE / "__init__.py").exists()  # data belongs to a package
    assert all(any(fnmatch(name, pattern) for pattern in patterns) for name in OURS)
