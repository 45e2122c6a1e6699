// The page of `myvlm try`: what a newcomer needs beyond the page of the pinned SimCord, to whose app.js this is appended
// (bot/playground.py). It knows SimCord by its elements, by a few of its sentences and by `window.simcordPreview`;
// tests/playground/test_page_files.py holds every one of them, so that another version is noticed.
{
  const one = (selector, inside = document) => inside.querySelector(selector);
  const shell = one("#preview-shell");
  const app = one("#preview-app");
  const channel = one("#channel-layout");
  const log = one("#channel-timeline");
  const list = one("#channel-message-list");
  const form = one("#channel-composer");
  const input = one("#channel-composer-input");
  const now = () => performance.now();
  const commandOpen = () => one(".command-row", form);

  function made(tag, className, role) {
    const element = document.createElement(tag);
    element.className = className;
    element.setAttribute("role", role);
    element.hidden = true;
    return element;
  }

  function show(element, text) {
    if (element.textContent !== text) element.textContent = text;
    element.hidden = !text;
  }

  function watch(element, what, then) {
    new MutationObserver(then).observe(element, what);
    then();
  }

  // ---- Whose page it is, and who is who ----
  one(".brand-mark").textContent = "M";
  one(".preview-brand strong").textContent = "MyVLM Bot";
  one(".preview-brand small").textContent = "simulated Discord, by SimCord";

  // The first viewer owns the server (make_world). SimCord writes the list anew with every publication.
  const viewers = one("#viewer-picker");
  const MANAGES = " (manages the server)";
  watch(viewers, { childList: true }, () => {
    const owner = viewers.options[0];
    if (owner && !owner.text.endsWith(MANAGES)) owner.text += MANAGES;
  });

  // Of the words in the corner only these are news to a person; the rest is hidden (page.css).
  const status = one("#action-status");
  const TROUBLE = ["Action was not completed.", "Action is awaiting a confirmed result."];
  watch(status, { childList: true }, () => status.classList.toggle("myvlm-trouble", TROUBLE.includes(status.textContent)));

  // ---- The newest message stays in sight until the person scrolls up ----
  const NEAR_PX = 24; // so near to the end counts as the end
  const LOOK_MS = 250;
  const HAND_MS = 400; // so long after a wheel or a key the movement is the person's
  const SWING_MS = 1200; // a touched page swings on
  const ANSWER_MS = 15_000; // so long after a click a new message is its answer
  const SCROLL_KEYS = new Set(["ArrowUp", "PageUp", "Home", " "]);
  let following = true;
  let expectedUntil = 0;
  let handDown = false;
  let handUntil = 0;
  let lastTop = 0;
  let tabbed = -HAND_MS;

  const below = () => log.scrollHeight - log.clientHeight - log.scrollTop;
  const byHand = () => handDown || now() < handUntil;
  const handFor = (ms) => { handUntil = now() + ms; };
  const typing = (element) => element instanceof HTMLElement && element.matches("input, textarea, select");

  function toNewest() {
    if (following && !byHand() && below() > 1) log.scrollTop = log.scrollHeight;
  }

  function follow() {
    following = true;
    handDown = false;
    handUntil = 0;
    toNewest();
  }

  // SimCord scrolls, too, towards what it holds for the target: only a person's movement ends the following.
  function scrolled() {
    const up = log.scrollTop < lastTop;
    lastTop = log.scrollTop;
    if (up && byHand()) {
      following = false;
      expectedUntil = 0;
    } else if (!up && below() <= NEAR_PX) following = true;
  }

  function keyPressed(event) {
    if (event.key === "Enter" && form.contains(event.target)) follow();
    else if (event.key === "Tab") tabbed = now();
    else if (SCROLL_KEYS.has(event.key) && !typing(event.target)) handFor(HAND_MS);
  }

  // What gets the focus by Tab is scrolled into sight, and stays there.
  function focusMoved() {
    if (now() - tabbed < HAND_MS) handFor(HAND_MS);
  }

  // A button of an older message mostly changes that message, which then must not run away; its answer may be a new one.
  function clicked(event) {
    if (!event.target.closest("button, [role=option]") || event.target.closest(".media-lightbox-trigger")) return;
    const message = event.target.closest(".channel-message");
    const messages = list.querySelectorAll(".channel-message");
    if (message && message === messages[messages.length - 1]) follow();
    else expectedUntil = now() + ANSWER_MS;
  }

  function messagesChanged(records) {
    const come = records?.some((record) => [...record.addedNodes].some((node) => node === list.lastElementChild));
    if (come && now() < expectedUntil) follow();
    else toNewest();
  }

  log.addEventListener("scroll", scrolled, { passive: true });
  log.addEventListener("wheel", () => handFor(HAND_MS), { passive: true });
  log.addEventListener("touchstart", () => { handDown = true; }, { passive: true });
  for (const end of ["touchend", "touchcancel"]) {
    window.addEventListener(end, () => { if (handDown) handFor(SWING_MS); handDown = false; }, { passive: true });
  }
  log.addEventListener("pointerdown", (event) => { if (event.pointerType !== "touch") handDown = true; }); // also on the scrollbar
  for (const end of ["pointerup", "blur"]) window.addEventListener(end, () => { handDown = false; }, true);
  window.addEventListener("pointermove", (event) => { if (!event.buttons && event.pointerType !== "touch") handDown = false; });
  window.addEventListener("keydown", keyPressed, true);
  log.addEventListener("focusin", focusMoved);
  log.addEventListener("click", clicked);
  one("#modal-root").addEventListener("click", clicked);
  one("#new-messages").addEventListener("click", follow);
  viewers.addEventListener("change", follow);
  document.addEventListener("submit", (event) => { if (event.target === form) follow(); }, true);
  watch(list, { childList: true }, messagesChanged);
  const sizes = new ResizeObserver(() => requestAnimationFrame(toNewest));
  sizes.observe(log);
  sizes.observe(list);
  setInterval(toNewest, LOOK_MS); // SimCord corrects the position at times of its own

  // ---- Is the program there, and is this address its own? ----
  const ASK_EVERY_MS = 1000;
  const LOST_MS = 3000;
  const SHUT_MS = 1000;
  const UNSURE_MS = 3000;
  const LOST = "The program doesn't answer. If it has ended, start it again and open the address that it prints.";
  const OLD = "This address is of an earlier start, or not whole. Open the one that the program printed last.";
  const UNSURE = "What became of your last step isn't known. Load this page again to go on.";
  const banner = made("p", "myvlm-banner", "alert");
  one("#preview-workspace").append(banner);

  async function answers() {
    try {
      return (await fetch("/backend-diagnostics.json", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(4000) })).ok;
    } catch {
      return false;
    }
  }

  // SimCord has given up: its conversation is hidden and nothing is under way (it is hidden for a moment, too, when the viewer changes).
  const shut = () => app.getAttribute("aria-busy") === "false" && channel.hidden && !window.simcordPreview.pendingAction;

  // SimCord sent something, doesn't know whether it arrived, and lets nothing more be done.
  const unsure = () => Boolean(window.simcordPreview.transport.uncertainRequestId);

  /** A clock that says whether something holds for `ms` without a break. */
  function lasting(ms) {
    let since = 0;
    return (holds, from) => {
      since = holds ? since || from : 0;
      return Boolean(since) && now() - since > ms;
    };
  }
  const lost = lasting(LOST_MS);
  const closed = lasting(SHUT_MS);
  const stuck = lasting(UNSURE_MS);

  async function look() {
    const asked = now();
    const there = await answers();
    const [isLost, isClosed, isStuck] = [lost(!there, asked), closed(there && shut(), asked), stuck(there && unsure(), asked)];
    if (isLost) show(banner, LOST);
    else if (there) show(banner, isClosed ? OLD : isStuck ? UNSURE : "");
    setTimeout(look, ASK_EVERY_MS);
  }
  look();

  // ---- What to do instead: a line above the composer, until something is typed ----
  const COMMANDS_ONLY = "I don't read messages. Type / and choose a command, such as /describe.";
  const FROM_THE_LIST = "Choose the command from the list that opens when you type /, then fill in its fields.";
  const hint = made("p", "myvlm-hint", "status");
  channel.insertBefore(hint, form);
  const say = (text) => show(hint, text);
  form.addEventListener("input", () => say(""), true);

  // Captured above the form, whose own listeners would send it.
  function submitted(event) {
    const text = input.value.trim();
    if (event.target !== form || commandOpen() || one("#send-message").dataset.mode === "Save" || !text) return;
    if (text.startsWith("/")) {
      event.preventDefault();
      event.stopImmediatePropagation();
      say(FROM_THE_LIST);
    } else say(COMMANDS_ONLY);
  }
  document.addEventListener("submit", submitted, true);

  // ---- Several photos at once: chosen, dropped or pasted ----
  const EACH = 10 * 1024 * 1024; // bytes; SimCord's limits
  const TOGETHER = 25 * 1024 * 1024;
  const FIRST_A_COMMAND = "Choose /teach or /describe first, then drop the photos.";
  const given = new Map(); // option -> the file it was given last
  let giving = false;

  const isFileInput = (element) => element instanceof Element && element.matches(".command-file-input");
  const fileInput = (option) => one(`.command-file-input[data-option="${CSS.escape(option)}"]`, form);
  const photoOptions = () => (window.simcordPreview.commandPicker.draft?.options || []).filter((option) => option.type === "attachment");
  const photos = (count) => (count === 1 ? "1 photo" : `${count} photos`);

  /** The file input of an option, which is opened from "+N more" where it isn't yet. */
  function openedInput(option) {
    if (!fileInput(option)) {
      one(".command-ghost", form)?.click();
      [...form.querySelectorAll(".command-suggestion")].find((item) => item.dataset.value === option)?.click();
    }
    return fileInput(option);
  }

  function give(element, file) {
    const carrier = new DataTransfer();
    carrier.items.add(file);
    giving = true;
    element.files = carrier.files;
    element.dispatchEvent(new Event("change", { bubbles: true }));
    giving = false;
  }

  /** Gives the files to `first`, if any, and to the free options in their order; says how many were left out, and why. */
  function spread(files, first = null) {
    const options = photoOptions();
    const free = options.filter((option) => option.name === first || !option.present).map((option) => option.name);
    if (first) free.sort((a, b) => (b === first) - (a === first));
    let room = TOGETHER;
    for (const option of options) if (option.present && option.name !== first) room -= option.display?.size || 0;
    let large = 0;
    let many = 0;
    for (const file of files) {
      const fits = file.size <= Math.min(EACH, room);
      const element = fits && free.length ? openedInput(free[0]) : null;
      if (element && !element.disabled) {
        give(element, file);
        free.shift();
        room -= file.size;
      } else if (fits) many += 1;
      else large += 1;
    }
    say([
      many && `This command takes ${photos(options.length)}: ${many} left out.`,
      large && `${photos(large)} left out as too large: each may have 10 MiB, all together 25 MiB.`,
    ].filter(Boolean).join(" "));
    tryAgain();
  }

  // SimCord keeps "exceed the aggregate limit" at the last file when another one was taken away. Given again, it is weighed anew.
  function tryAgain() {
    for (const error of form.querySelectorAll(".command-error")) {
      const option = error.closest(".command-pill").dataset.option;
      if (!error.textContent.includes("aggregate limit") || !given.has(option)) continue;
      give(fileInput(option), given.get(option));
      return;
    }
  }

  function filesChanged(event) {
    if (!isFileInput(event.target) || !event.target.files.length) return;
    if (event.target.files.length > 1) {
      event.stopImmediatePropagation();
      spread([...event.target.files], event.target.dataset.option);
      return;
    }
    given.set(event.target.dataset.option, event.target.files[0]);
    if (!giving) setTimeout(tryAgain);
  }
  document.addEventListener("change", filesChanged, true);
  form.addEventListener("click", (event) => {
    if (event.target.closest(".command-file-remove, .command-option-remove")) setTimeout(tryAgain);
  }, true);

  watch(form, { childList: true, subtree: true }, () => {
    const single = [...form.querySelectorAll(".command-file-input:not([multiple])")];
    if (!single.length || photoOptions().length < 2) return;
    for (const element of single) element.multiple = true;
    for (const button of form.querySelectorAll(".command-file-choose")) {
      if (button.textContent === "Choose file") button.textContent = "Choose files";
    }
  });

  function take(files) {
    const options = photoOptions();
    if (!commandOpen()) say(FIRST_A_COMMAND);
    else if (!options.length) say("This command takes no photos.");
    else spread(files, options.length === 1 ? options[0].name : null);
  }

  // A folder looks like a file that can't be read, and one such upload would stop the page.
  const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
  const carriesFiles = (event) => Boolean(event.dataTransfer?.types.includes("Files"));
  const dropping = (on) => shell.classList.toggle("myvlm-dropping", on);

  function dragged(event) {
    if (event.defaultPrevented || (typing(event.target) && !carriesFiles(event))) return;
    event.preventDefault(); // else the browser leaves the page for the file
    if (carriesFiles(event)) dropping(!channel.inert);
  }

  function dropped(event) {
    dropping(false);
    if (event.defaultPrevented || (typing(event.target) && !carriesFiles(event))) return;
    event.preventDefault();
    if (!carriesFiles(event) || channel.inert) return;
    if ([...event.dataTransfer.items].some(isFolder)) say("Drop the photos themselves, not their folder.");
    else take([...event.dataTransfer.files]);
  }

  function pasted(event) {
    const files = [...(event.clipboardData?.files || [])];
    if (!files.length || event.clipboardData.types.includes("text/plain") || channel.inert) return;
    event.preventDefault();
    take(files);
  }
  window.addEventListener("dragover", dragged);
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dropping(false); });
  window.addEventListener("drop", dropped);
  document.addEventListener("paste", pasted);

  // ---- An empty field with suggestions asks for them at once ----
  // SimCord asks only when something is typed, and says until then that nothing matches. It asks for the same field once.
  const asked = new WeakSet();
  function fieldFocused(event) {
    const field = event.target;
    if (!field.matches(".command-option-input") || field.value || field.readOnly || asked.has(field)) return;
    const heading = one(".command-popup-heading", form);
    const none = one(".command-popup .command-empty", form);
    if (!none || !heading?.textContent.startsWith("OPTIONS MATCHING")) return;
    asked.add(field);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    show(one(".command-popup-heading", form), "OPTIONS");
    show(one(".command-popup .command-empty", form), "…");
  }
  form.addEventListener("focusin", fieldFocused);

  // ---- The composer has the focus at the start and after a command, unless something else has it ----
  function focusComposer() {
    if (!form.hidden && input.isConnected && [null, document.body].includes(document.activeElement)) input.focus({ preventScroll: true });
  }
  watch(form, { attributes: true, attributeFilter: ["hidden"] }, focusComposer);
  watch(input.parentElement, { childList: true }, focusComposer);
}
