"""A person at the simulated Discord page, in a real Chromium: types commands, hands over files, reads messages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page, TimeoutError, async_playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

TRIES, TRY_MS = 10, 4000
expect.set_options(timeout=30_000)

BELOW = "(log => log.scrollHeight - log.scrollTop - log.clientHeight)(document.querySelector('#channel-timeline'))"
PICTURES_THERE = "[...document.querySelectorAll('#channel-message-list img')].every(img => img.complete && img.naturalHeight)"
HAND_OVER = """([kind, where, files]) => {
    const data = new DataTransfer()
    for (const [name, bytes] of files) {
        data.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], name, {type: 'image/jpeg'}))
    }
    const init = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data}
    const event = kind === 'paste' ? new ClipboardEvent(kind, init) : new DragEvent(kind, init)
    return !document.querySelector(where).dispatchEvent(event)
}"""


class Person:
    """One viewer of the page. Times are milliseconds, as Playwright has them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._line = page.locator("#channel-composer .command-row")

    async def type_command(self, command: str) -> None:
        """Picks `/command` from the list that opens while typing."""
        box = self.page.locator("#channel-composer-input")
        await box.click()
        await box.press_sequentially(f"/{command}")
        await self.page.locator(".command-entry", has=self.page.get_by_text(f"/{command}", exact=True)).click()
        await expect(self._line).to_be_visible()

    async def _add(self, option: str) -> None:
        """Opens an optional option; again where the list was redrawn under the hand."""
        pill = self._line.locator(f'.command-pill[data-option="{option}"]')
        listed = self.page.get_by_role("option").filter(has_text=re.compile(rf"^\W*{option}\b")).first
        for _ in range(TRIES):
            if await pill.count():
                return
            with contextlib.suppress(TimeoutError):
                await self._line.locator(".command-ghost").click(timeout=TRY_MS)
                await listed.click(timeout=TRY_MS)
        await expect(pill).to_be_visible()

    async def fill(self, option: str, value: str) -> None:
        await self._add(option)
        field = self._line.locator(f'input.command-option-input[data-option="{option}"]')
        await field.fill(value)
        choice = self.page.get_by_role("option", name=value, exact=True)
        if await field.get_attribute("role") == "combobox" and await choice.count():
            await choice.first.click()

    async def attach(self, option: str, *files: Path) -> None:
        """One file, or several chosen at once in the dialog of that option."""
        await self._add(option)
        await self._line.locator(f'input[type=file][data-option="{option}"]').set_input_files(files)

    async def hand_over(self, how: str, where: str, files: Sequence[Path] = ()) -> bool:
        """`drop` or `paste` files there, as the browser announces it; says whether the page took it, else the browser leaves the page."""
        packed = [(file.name, base64.b64encode(file.read_bytes()).decode()) for file in files]
        return await self.page.evaluate(HAND_OVER, [how, where, packed])

    async def attached(self) -> dict[str, str]:
        """Which option of the open command has which file."""
        pills = self._line.locator(".command-pill:has(.command-file-remove)")
        read = "pills => pills.map(p => [p.dataset.option, p.querySelector('.command-file-choose').textContent])"
        return dict(await pills.evaluate_all(read))

    async def leave_command(self) -> None:
        await self.page.locator(".command-context-close").click()
        await self.page.locator("#channel-composer-input").fill("")

    async def below(self) -> float:
        """How many pixels of the conversation are below the fold."""
        return await self.page.evaluate(BELOW)

    async def at_the_newest(self, within_s: float = 30) -> None:
        """Waits until all pictures are there and the end of the conversation is in sight. Errors: AssertionError."""
        await self.until(f"{PICTURES_THERE} && {BELOW} <= 1", within_s)

    async def until(self, true: str, within_s: float = 30) -> None:
        """Waits for a JavaScript expression (Playwright's own waiting is barred by the page's content policy). Errors: AssertionError."""
        for _ in range(int(within_s / 0.05)):
            if await self.page.evaluate(true):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not true within {within_s} s: {true}")

    async def send(self) -> None:
        await self.page.locator("#send-message").click()
        await expect(self._line).to_have_count(0)

    async def command(self, name: str, values: dict[str, str] | None = None, files: dict[str, Path] | None = None) -> None:
        await self.type_command(name)
        for option, value in (values or {}).items():
            await self.fill(option, value)
        for option, file in (files or {}).items():
            await self.attach(option, file)
        await self.send()

    async def reads(self, text: str | re.Pattern[str], within_s: float = 60) -> str:
        """Waits until the conversation shows the text, and returns all of it. Errors: AssertionError after `within_s`."""
        messages = self.page.locator("#channel-message-list")
        await expect(messages).to_contain_text(text, timeout=within_s * 1000)
        return await messages.inner_text()

    async def press(self, label: str) -> None:
        """A button under a message, or of an open dialog."""
        await self.page.get_by_role("button", name=label, exact=True).last.click()


@asynccontextmanager
async def person_at(url: str, width: int = 1200, height: int = 900) -> AsyncIterator[Person]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await browser.new_page(viewport={"width": width, "height": height})
            await page.goto(url)
            await expect(page.locator("#channel-composer-input")).to_be_visible()
            yield Person(page)
        finally:
            await browser.close()
