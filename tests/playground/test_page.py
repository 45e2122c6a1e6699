"""What bot/page makes easier for a newcomer, in a real browser, each with a bot of a few lines."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import discord
import pytest
from discord import app_commands
from PIL import Image
from playwright.async_api import expect
from support.browser import BELOW, CHROMIUM, Person, person_at
from support.pictures import write_toy_photos

from bot.playground import live_page
from bot.supervisor import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page of `myvlm try` was NOT tested"),
]

TABS = 12  # each message has some three buttons
HINT, BANNER = ".myvlm-hint", ".myvlm-banner"
PHONE = (390, 700)
LOST, OLD = re.compile("The program doesn't answer. If it has ended"), re.compile("This address is of an earlier start")
Photo = discord.Attachment


def tall() -> discord.File:
    """A picture that is as high as a window."""
    out = io.BytesIO()
    Image.effect_noise((640, 640), 40).convert("RGB").save(out, "JPEG")
    return discord.File(io.BytesIO(out.getvalue()), "tall.jpg")


class TownBot(discord.Client):
    """Shows tall pictures, says which files it got, knows two names."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.default())
        self.tree = app_commands.CommandTree(self)
        self.place: discord.abc.Messageable | None = None

    async def setup_hook(self) -> None:
        self.tree.command(name="tower", description="Shows something tall")(self._tower)
        self.tree.command(name="teach", description="Takes photos")(self._teach)
        self.tree.command(name="describe", description="Takes one photo")(self._describe)
        show = self.tree.command(name="show", description="Shows somebody known")(self._show)
        show.autocomplete("name")(self._names)
        await self.tree.sync()

    async def _tower(self, i: discord.Interaction, word: str) -> None:
        self.place = i.channel
        await i.response.defer(thinking=True)
        await i.edit_original_response(content=f"{word} is being built")
        await i.edit_original_response(content=f"{word} stands", attachments=[tall()], view=Tower(word))

    @app_commands.describe(
        photo7="Another photo: another side, another place or another light, and one of them from afar, as small as it is there"
    )
    async def _teach(
        self,
        i: discord.Interaction,
        name: app_commands.Range[str, 1, 32],
        photo1: Photo,
        photo2: Photo | None = None,
        photo3: Photo | None = None,
        photo4: Photo | None = None,
        photo5: Photo | None = None,
        photo6: Photo | None = None,
        photo7: Photo | None = None,
    ) -> None:
        photos = (photo1, photo2, photo3, photo4, photo5, photo6, photo7)
        await i.response.send_message(f"{name}: {', '.join(photo.filename if photo else '-' for photo in photos)}")

    async def _describe(self, i: discord.Interaction, photo: Photo) -> None:
        await i.response.send_message(f"that is {photo.filename}")

    async def _show(self, i: discord.Interaction, name: str) -> None:
        await i.response.send_message(f"here is {name}")

    async def _names(self, i: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=name, value=name) for name in ("Biscuit", "Zippy") if name.startswith(current)]


class Tower(discord.ui.View):
    def __init__(self, word: str) -> None:
        super().__init__(timeout=None)
        self._word = word

    @discord.ui.button(label="Paint")
    async def paint(self, i: discord.Interaction, button: discord.ui.Button) -> None:
        await i.response.edit_message(content=f"{self._word} stands, painted")

    @discord.ui.button(label="Another")
    async def another(self, i: discord.Interaction, button: discord.ui.Button) -> None:
        await i.response.send_message(f"another {self._word}", file=tall())


@asynccontextmanager
async def town(width: int = 1200, height: int = 900) -> AsyncIterator[tuple[TownBot, Person]]:
    bot = TownBot()
    async with live_page(bot, welcome="Hello") as url, person_at(url, width, height) as person:
        yield bot, person


async def wheel(person: Person, pixels: int) -> None:
    await person.page.locator("#channel-timeline").hover()
    await person.page.mouse.wheel(0, pixels)


async def scrolled_up(person: Person) -> float:
    await person.until("document.querySelector('#channel-timeline').scrollTop < 200")
    return await person.below()


async def test_the_newest_message_is_in_sight_until_the_person_scrolls_up(tmp_path: Path) -> None:
    async with town() as (bot, person):
        for number in range(4):
            await person.command("tower", {"word": f"Tower {number}"})
            await person.reads(f"Tower {number} stands")
            await person.at_the_newest()
        await person.press("Another")
        await person.reads("another Tower 3")
        await person.at_the_newest()

        await wheel(person, -20_000)
        below = await scrolled_up(person)
        for word in ("the bell", "the clock"):  # two: each takes longer than the page looks
            await bot.place.send(f"{word} rings", file=tall())
            await person.reads(f"{word} rings")
        assert await person.below() > below  # the person reads on

        old = person.page.locator(".channel-message", has_text="Tower 0 stands")
        await old.get_by_role("button", name="Paint").click()
        await person.reads("Tower 0 stands, painted")
        assert await person.below() > below - 300  # the message that was changed doesn't run away
        await old.get_by_role("button", name="Another").click()
        await person.reads("another Tower 0")
        await person.at_the_newest()

        await wheel(person, -20_000)
        await scrolled_up(person)
        await person.page.evaluate(
            "(log => log.scrollTo(0, log.scrollHeight - log.clientHeight - 10))(document.querySelector('#channel-timeline'))"
        )
        await person.at_the_newest()  # so near to the end is the end
        await bot.place.send("all is well", file=tall())
        await person.reads("all is well")
        await person.at_the_newest()

        await person.page.locator("#channel-composer-input").focus()
        for _ in range(TABS):  # to the buttons under the newest message, and on to those above
            await person.page.keyboard.press("Shift+Tab")
        assert await person.page.evaluate("document.activeElement.closest('.channel-message') !== null")
        await person.until(f"{BELOW} > 300")
        await bot.place.send("still there?")
        await person.reads("still there?")
        assert await person.below() > 300

        await person.page.locator("#channel-timeline").evaluate("log => log.scrollTo(0, log.scrollHeight)")
        await person.page.locator(".channel-message").last.click(position={"x": 3, "y": 3})
        await person.page.keyboard.press("PageUp")
        await person.until(f"{BELOW} > 300")
        await bot.place.send("the end")
        await person.reads("the end")
        assert await person.below() > 300
        await person.command("tower", {"word": "Last"})
        await person.reads("Last stands")
        await person.at_the_newest()


async def test_several_photos_are_handed_over_at_once(tmp_path: Path) -> None:
    files = write_toy_photos(tmp_path, range(9))
    names = [file.name for file in files]
    async with town() as (_, person):
        hint = person.page.locator(HINT)
        assert await person.hand_over("drop", "#channel-timeline", files[:2])  # the browser stays
        assert await person.hand_over("dragover", "#toolbar", files[:1])
        await expect(hint).to_have_text("Choose /teach or /describe first, then drop the photos.")

        await person.type_command("teach")
        await expect(hint).to_be_hidden()
        await person.fill("name", "Zippy")
        await expect(person.page.locator(".command-file-choose")).to_have_text("Choose files")
        await person.attach("photo1", *files[:3])
        assert await person.attached() == dict(zip(("photo1", "photo2", "photo3"), names, strict=False))
        assert await person.hand_over("drop", "#channel-timeline", files[3:4])
        assert await person.hand_over("paste", 'input[data-option="name"]', files[4:5])
        assert await person.attached() == {f"photo{n}": name for n, name in enumerate(names[:5], 1)}
        await person.attach("photo2", files[8])  # one for one: replaced
        assert (await person.attached())["photo2"] == names[8]
        await person.attach("photo3", *files[5:9])
        await expect(hint).to_have_text("This command takes 7 photos: 1 left out.")
        assert list((await person.attached()).values()) == [names[0], names[8], names[5], names[3], names[4], names[6], names[7]]
        await person.send()
        await person.reads(f"Zippy: {names[0]}, {names[8]}, {names[5]}, {names[3]}, {names[4]}, {names[6]}, {names[7]}")

        await person.type_command("describe")
        await person.attach("photo", files[0])
        assert await person.hand_over("drop", "#channel-timeline", files[1:3])
        await expect(hint).to_have_text("This command takes 1 photo: 1 left out.")
        await person.send()
        await person.reads(f"that is {names[1]}")
        await person.type_command("show")
        assert await person.hand_over("drop", "#channel-timeline", files[:1])
        await expect(hint).to_have_text("This command takes no photos.")


def heavy(folder: Path, name: str, mib: int) -> Path:
    file = folder / name
    file.write_bytes(bytes(mib * 1024 * 1024))
    return file


async def test_too_many_megabytes_are_said_and_can_be_taken_back(tmp_path: Path) -> None:
    eights = [heavy(tmp_path, f"eight{number}.jpg", 8) for number in range(4)]
    async with town() as (_, person):
        await person.type_command("teach")
        await person.fill("name", "Zippy")
        for number, file in enumerate(eights, 1):
            await person.attach(f"photo{number}", file)
        await person.page.locator("#send-message").click()
        await expect(person.page.locator(".command-error")).to_contain_text("aggregate limit")
        await person.page.locator('.command-file-remove[data-option="photo2"]').click()
        await expect(person.page.locator(".command-error")).to_have_count(0)
        await person.send()
        await person.reads("Zippy: eight0.jpg, -, eight2.jpg, eight3.jpg")

        await person.type_command("teach")
        await person.attach("photo1", heavy(tmp_path, "eleven.jpg", 11), *eights)
        assert list((await person.attached()).values()) == ["eight0.jpg", "eight1.jpg", "eight2.jpg"]
        hint = "2 photos left out as too large: each may have 10 MiB, all together 25 MiB."
        await expect(person.page.locator(HINT)).to_have_text(hint)


async def test_fields_show_what_is_in_them_and_what_is_wrong(tmp_path: Path) -> None:
    async with town() as (_, person):
        await person.type_command("show")
        await expect(person.page.locator(".command-suggestion")).to_have_text(["Biscuit", "Zippy"])  # of a field still empty
        await person.page.keyboard.press("Enter")
        await person.send()
        await person.reads("here is Biscuit")

        await person.type_command("teach")
        await person.fill("name", "MOMO WOMBAT")
        field = person.page.locator('input[data-option="name"]')
        assert await field.evaluate("field => field.scrollWidth <= field.clientWidth")  # nothing of it is cut off
        await person.page.locator("#send-message").click()
        error = person.page.locator(".command-error")
        await expect(error).to_have_text("This field is required.")
        assert await error.evaluate(WHOLE)
        await person.leave_command()


WHOLE = """element => {
    const box = element.getBoundingClientRect()
    return [[box.left + 2, box.top + 2], [box.right - 2, box.bottom - 2]].every(([x, y]) => document.elementFromPoint(x, y) === element)
}"""


async def test_a_newcomer_is_told_to_choose_a_command(tmp_path: Path) -> None:
    async with town() as (_, person):
        box, hint = person.page.locator("#channel-composer-input"), person.page.locator(HINT)
        await expect(box).to_be_focused()
        await person.page.keyboard.type("/teach Zippy")
        await person.page.keyboard.press("Enter")
        await expect(hint).to_have_text(re.compile("^Choose the command from the list that opens when you type /"))
        await person.page.locator("#send-message").click()
        await expect(box).to_have_value("/teach Zippy")  # not sent
        await box.fill("hello")
        await expect(hint).to_be_hidden()
        await person.page.keyboard.press("Enter")
        assert "/teach Zippy" not in await person.reads("hello")
        await expect(hint).to_have_text("I don't read messages. Type / and choose a command, such as /describe.")
        await expect(box).to_have_value("")
        await person.command("show", {"name": "Zippy"})
        await person.reads("here is Zippy")
        await expect(hint).to_be_hidden()
        await expect(box).to_be_focused()


TEST_TOOL = "#refresh, #capture-open, #inspector-toggle, #messages-toggle, #messages-sidebar, .session-menu, #view-action-output"


@pytest.mark.parametrize("size", [(1200, 900), PHONE], ids=["wide", "phone"])
async def test_it_is_a_chat_and_not_a_test_tool(size: tuple[int, int], tmp_path: Path) -> None:
    files = write_toy_photos(tmp_path, range(7))
    async with town(*size) as (_, person):
        page = person.page
        await expect(page).to_have_title("MyVLM Bot on a simulated Discord")
        await expect(page.locator(".preview-brand")).to_contain_text("MyVLM Bot")
        await person.command("show", {"name": "Zippy"})
        await person.reads("here is Zippy")
        assert await page.locator(TEST_TOOL).count() == 7
        for element in await page.locator(f"{TEST_TOOL}, #action-status").all():
            await expect(element).to_be_hidden()
        assert (await page.locator("#toolbar").bounding_box() or {})["height"] < 60  # one row
        app = await page.locator("#preview-app").bounding_box()
        assert app and (app["x"], app["width"], app["y"] + app["height"]) == (0, *size)
        options = page.locator("#viewer-picker option")
        await expect(options).to_have_text(["Robin (manages the server)", "Sam", "Alex"])

        await person.type_command("teach")
        await person.fill("name", "Zippy")
        await person.attach("photo1", *files)
        await expect(page.locator(".command-file-remove")).to_have_count(7)
        assert await page.evaluate(TOO_WIDE) == []
        await person.send()
        await person.reads("Zippy: toy0.jpg")

        await page.locator("#close").dispatch_event("click")  # "End preview session", hidden: refused, too
        await expect(page.locator("#action-status")).to_have_text("Action was not completed.")
        await expect(page.locator("#action-status")).to_be_visible()  # what went wrong is said
        await page.locator("#viewer-picker").select_option(label="Sam")
        await person.command("show", {"name": "Biscuit"})
        await person.reads("here is Biscuit")
        await expect(page.locator(BANNER)).to_be_hidden()


TOO_WIDE = """() => ['#preview-stage', '#preview-app', '#channel-layout', '#channel-composer', '.composer-row', '.command-row']
    .filter(name => (element => element.scrollWidth > element.clientWidth + 1)(document.querySelector(name)))"""


async def test_a_page_whose_program_has_gone_says_what_to_do() -> None:
    port = free_port()
    async with AsyncExitStack() as person_s, AsyncExitStack() as first, AsyncExitStack() as second:
        old = await first.enter_async_context(live_page(TownBot(), port))
        person = await person_s.enter_async_context(person_at(old))
        page, banner = person.page, person.page.locator(BANNER)
        await page.context.set_offline(True)
        await expect(banner).to_have_text(LOST)
        assert await banner.get_attribute("role") == "alert"
        await expect(page.locator("#channel-composer")).to_be_in_viewport(ratio=1)  # the banner pushes nothing out of the window
        await page.context.set_offline(False)
        await expect(banner).to_be_hidden()
        await person.command("show", {"name": "Zippy"})  # all is as before
        await person.reads("here is Zippy")

        await first.aclose()
        await expect(banner).to_have_text(LOST)
        new = await second.enter_async_context(live_page(TownBot(), port))
        await expect(banner).to_have_text(OLD)
        await page.reload()
        await expect(banner).to_have_text(OLD)
        await page.goto(new)  # differs in the secret only, with which SimCord loads the page anew
        await expect(page.locator("#channel-composer-input")).to_be_visible()
        await expect(banner).to_be_hidden()
        await page.goto("about:blank")
        await page.goto(new.partition("#")[0])
        await expect(banner).to_have_text(OLD)


async def test_a_step_whose_outcome_is_unknown_can_be_left_behind() -> None:
    """SimCord lets nothing more be done then, and says so in a corner only."""
    async with town() as (_, person):
        page, banner = person.page, person.page.locator(BANNER)
        await page.route("**/api/action", lambda route: route.abort())
        await person.type_command("show")
        await page.locator('input[data-option="name"]').fill("Zippy")
        await page.locator("#send-message").click()
        await expect(banner).to_have_text("What became of your last step isn't known. Load this page again to go on.")
        await page.unroute("**/api/action")
        await page.reload()
        await person.command("show", {"name": "Biscuit"})
        await person.reads("here is Biscuit")
        await expect(banner).to_be_hidden()
