"""The engine's service over HTTP, with small parts: verbs, refusals, the stream, the line."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import structlog
from engine_fakes import ENCODER, VLM, WIDTH, FakeVlm, Teacher, answer_fake, fake_engine, photo, teach_request

from myvlm_engine.concept_embedding import read_embedding
from myvlm_engine.engine import Engine
from myvlm_engine.messages import ErrorReply, HealthReply, KnownConcept, SeeReply, TeachEvent, pack
from myvlm_engine.recognition.encoders import Seen
from myvlm_engine.service import Limits, create_app

PHOTO = photo("red")
PATIENCE_S = 30.0  # for what must happen, on however slow a machine


class LedTeacher(Teacher):
    """Takes each step when it is let, and notes it in `done`."""

    def __init__(self, **given):
        super().__init__(**given)
        self.let, self.begun, self.done = threading.Semaphore(0), 0, []

    def __call__(self, *given, **more):
        for event in super().__call__(*given, **more):
            self.begun += 1
            assert self.let.acquire(timeout=PATIENCE_S)
            self.done.append("step")
            yield event


@pytest.fixture(autouse=True)
def logged(capsys):
    """Log lines so far, as JSON, one a line."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(),
    )
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    structlog.reset_defaults()


@contextlib.asynccontextmanager
async def served(load=fake_engine, token: str = "", limits: Limits = Limits(), ready: bool = True):
    """A client of the app, its lifespan running. ASGITransport gathers whole replies: streams that break off are tested over a wire."""
    app = create_app(load, token=token, limits=limits)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        if ready:
            await until_told(client, ready=True)
        yield client


async def until_told(client: httpx.AsyncClient, **expected) -> dict:
    """Asks for the health, as a bot does, until it says so."""
    async with asyncio.timeout(PATIENCE_S):
        while (health := (await client.get("/v1/health")).json()) != health | expected:
            await asyncio.sleep(0.01)
    return health


def body(message) -> dict:
    return message.model_dump(mode="json")


def refusal(reply: httpx.Response) -> ErrorReply:
    assert reply.status_code >= 400
    return ErrorReply.model_validate_json(reply.content)


async def test_a_photo_is_seen_by_every_encoder_with_a_hint_of_its_noun():
    async with served() as client:
        reply = SeeReply.model_validate_json((await client.post("/v1/see", json={"photo": PHOTO})).content)
    assert [(s.encoder, s.array().shape) for s in reply.sights] == [(ENCODER, (1, 3))]
    assert reply.noun == "ball" and reply.faces == []


async def test_photos_that_teach_are_also_seen_from_afar_by_encoders_that_can():
    parts = fake_engine().parts
    far = SimpleNamespace(fingerprint="far", width=3, see=parts.encoders[0].see, noun_hint=lambda image: None)
    far.see_from_afar = lambda image: Seen(np.ones((2, 3), np.float16), [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)])
    engine = Engine(replace(parts, encoders=[*parts.encoders, far]))
    async with served(lambda: engine) as client:
        plain, teaching = [(await client.post("/v1/see", json={"photo": PHOTO, **more})).json() for more in ({}, {"taught": True})]
        assert plain["afar"] == [] and [(s["encoder"], len(s["boxes"])) for s in teaching["afar"]] == [("far", 2)]
        assert teaching["sights"] == plain["sights"]
        request = {"kind": "pet", "positives": plain["sights"][:1], "afar": teaching["afar"]}
        assert refusal(await client.post("/v1/fit", json=request)).code == "other_encoder"


async def test_no_face_is_described_where_nobody_may_be_recognised():
    def never(image):
        raise AssertionError("a face was looked at")

    parts = fake_engine().parts
    faces = SimpleNamespace(fingerprint="faces-9", width=3, see=never, noun_hint=lambda image: None)
    engine = Engine(replace(parts, encoders=[*parts.encoders, faces]))
    async with served(lambda: engine) as client:
        seen = (await client.post("/v1/see", json={"photo": PHOTO, "faces": False})).json()
        assert [sight["encoder"] for sight in seen["sights"]] == [ENCODER]
        refused = await client.post("/v1/see", json={"photo": PHOTO})
        assert refused.status_code == 500, "else it is"


async def test_places_in_a_photo_are_seen_by_encoders_that_can_look_closer():
    parts = fake_engine().parts
    near = SimpleNamespace(fingerprint="near", width=3, see=parts.encoders[0].see, noun_hint=lambda image: None)
    near.see_closer = lambda image, places: Seen(np.ones((len(places), 3), np.float16), list(places))
    engine = Engine(replace(parts, encoders=[*parts.encoders, near]))
    async with served(lambda: engine) as client:
        reply = await client.post("/v1/see", json={"photo": PHOTO, "places": [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]]})
        assert [(s["encoder"], s["boxes"]) for s in reply.json()["sights"]] == [("near", [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]])]
        for wrong in ([[0.1, 0.2, 0.3, 1.4]], [[-0.1, 0, 1, 1]], [[0, 0, 1]], [["a", 0, 1, 1]], [[0, 0, 1, 1]] * 9):
            assert refusal(await client.post("/v1/see", json={"photo": PHOTO, "places": wrong})).code == "bad_request"


async def test_large_faces_are_looked_for_only_in_photos_that_teach():
    asked = []
    made = replace(fake_engine().parts, large_faces=lambda image: asked.append(image.size) or [(0.1, 0.1, 0.6, 0.9)])
    async with served(lambda: Engine(made)) as client:
        replies = [(await client.post("/v1/see", json={"photo": PHOTO, **more})).json() for more in ({}, {"taught": True})]
    assert [reply["faces"] for reply in replies] == [[], [[0.1, 0.1, 0.6, 0.9]]] and len(asked) == 1


async def test_a_head_is_fitted_from_sights():
    async with served() as client:
        seen = (await client.post("/v1/see", json={"photo": PHOTO})).json()
        reply = await client.post("/v1/fit", json={"kind": "object", "positives": seen["sights"]})
    assert reply.status_code == 200
    assert reply.json()["head"]["encoder"] == ENCODER
    assert reply.json()["photo_boxes"] == [[0, 0, 1, 1]]


async def taught(client: httpx.AsyncClient, request) -> list[TeachEvent]:
    reply = await client.post("/v1/teach", json=body(request))
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    return [TeachEvent.model_validate_json(line) for line in reply.text.splitlines()]


async def test_a_teach_streams_its_steps_and_ends_with_the_embedding():
    async with served() as client:
        events = await taught(client, teach_request())
    assert [e.step for e in events] == list(range(1, 13))
    assert [e.step for e in events if e.embedding] == [5, 10, 12]
    assert events[-1].stage == "done" and events[-1].vlm == VLM
    learned = read_embedding(base64.b64decode(events[-1].embedding), VLM, WIDTH)
    assert (learned.name, learned.class_noun, learned.vectors.tolist()) == ("Biscuit", "ball", [[12.0] * WIDTH])


async def test_a_teach_goes_on_from_a_streamed_embedding():
    async with served() as client:
        first = await taught(client, teach_request())
        second = await taught(client, teach_request(resume=first[4].embedding))
    assert read_embedding(base64.b64decode(second[-1].embedding), VLM, WIDTH).vectors[0, 0] == 5 + 12


async def test_a_teach_hands_over_captions_boxes_and_seed():
    teacher = Teacher()
    request = teach_request(seed=7)
    first = request.photos[0].model_copy(update={"captions": ["Biscuit rolls."], "box": (0.1, 0.2, 0.3, 0.4)})
    async with served(lambda: fake_engine(teacher)) as client:
        await taught(client, request.model_copy(update={"photos": [first, request.photos[1]]}))
    assert teacher.given["captions"] == [["Biscuit rolls."], []]
    assert teacher.given["boxes"] == [(0.1, 0.2, 0.3, 0.4), None]
    assert teacher.given["seed"] == 7
    assert [p.mode for p in teacher.given["photos"]] == ["RGB", "RGB"]


async def test_without_a_class_noun_the_kind_has_a_word():
    teacher = Teacher()
    async with served(lambda: fake_engine(teacher)) as client:
        await taught(client, teach_request(class_noun=" ", kind="pet"))
    assert teacher.given["class_noun"] == "pet"


async def test_what_goes_wrong_in_a_teach_is_its_last_line_and_tells_no_text(logged):
    async with served(lambda: fake_engine(Teacher(fails_at=3))) as client:
        events = await taught(client, teach_request())
        again = await taught(client, teach_request())  # the slot is free again
    assert [e.stage for e in events] == ["learning", "learning", "failed"]
    assert events[-1].error == ErrorReply(code="internal", facts={"type": "RuntimeError"})
    assert len(again) == 3
    said = str(logged())
    assert "engine_fakes.py" in said and "secret" not in said


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000000 bytes."), "8000000 bytes"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0"), "20.00 MiB"),
        (MemoryError(), "unknown"),
    ],
)
async def test_running_out_of_memory_is_told_with_what_was_needed(error, needed):
    async with served(lambda: fake_engine(Teacher(fails_at=1, error=error))) as client:
        events = await taught(client, teach_request())
    assert events[-1].error == ErrorReply(code="out_of_memory", facts={"needed": needed})


async def test_an_answer_names_learned_and_unlearned_concepts():
    async with served() as client:
        learned = (await taught(client, teach_request()))[-1].embedding
        concepts = [KnownConcept(name="Biscuit", class_noun="ball", embedding=learned), KnownConcept(name="Milo", class_noun="ball")]
        reply = await client.post("/v1/answer", json={"photo": PHOTO, "concepts": [body(c) for c in concepts], "absent_names": ["Rex"]})
    assert reply.json()["text"] == "Biscuit and Milo and a red ball"
    assert reply.json()["base_text"] == "a red ball"
    assert reply.json()["named"] == [{"name": "Biscuit", "how": "embedding"}, {"name": "Milo", "how": "substitution"}]
    assert reply.json()["seconds"] >= 0


async def test_places_are_told_by_a_vlm_that_grounds_and_by_no_other():
    class Grounding(FakeVlm):
        grounds = True

        def places(self, view, class_noun):
            return [(0.0, 0.0, 0.5, 0.5)] if (view.state, class_noun) == ("red", "ball") else []

    def grounding() -> Engine:
        return Engine(replace(fake_engine().parts, vlm=Grounding()))

    async with served(grounding) as client:
        assert (await client.get("/v1/health")).json()["grounds"] is True
        told = await client.post("/v1/locate", json={"photo": PHOTO, "class_noun": "ball"})
        assert told.json() == {"boxes": [[0.0, 0.0, 0.5, 0.5]]}
    async with served() as client:
        assert (await client.get("/v1/health")).json()["grounds"] is False
        assert (await client.post("/v1/locate", json={"photo": PHOTO, "class_noun": "ball"})).json() == {"boxes": []}


def foreign_embedding() -> str:
    import numpy as np

    from myvlm_engine.concept_embedding import ConceptEmbedding

    return base64.b64encode(ConceptEmbedding(np.ones((1, WIDTH)), "another-vlm", "Biscuit", "ball").to_bytes()).decode()


FOREIGN_SIGHT = {"encoder": "other", "width": 1, "vectors": "ADw=", "boxes": [[0, 0, 1, 1]]}
OWN_SIGHT = {"encoder": ENCODER, "width": 3, "vectors": pack([0, 0, 1]), "boxes": [[0, 0, 1, 1]]}
NOT_FINITE = {"what": "sight: not one finite vector a box"}
NAMELESS = {"name": "B", "class_noun": "dog"}
REFUSED = [
    ("see", {"photo": base64.b64encode(b"no picture").decode()}, 422, "not_a_picture", {}),
    ("see", {"photo": ""}, 422, "not_a_picture", {}),
    ("see", {"photo": PHOTO[:200]}, 422, "not_a_picture", {}),
    ("see", {"photo": "%%%"}, 400, "bad_request", {"what": "photo: not base64"}),
    ("see", {}, 400, "bad_request", {"what": "photo: missing"}),
    ("see", {"photo": PHOTO, "extra": 1}, 400, "bad_request", {"what": "extra: extra_forbidden"}),
    ("fit", {"kind": "pet", "positives": []}, 422, "no_photos", {}),
    ("fit", {"kind": "pet", "positives": [FOREIGN_SIGHT]}, 409, "other_encoder", {"expected": ENCODER, "found": "other"}),
    ("teach", {"name": "B", "class_noun": "dog", "kind": "pet", "photos": []}, 422, "no_photos", {}),
    ("teach", body(teach_request(resume=foreign_embedding())), 409, "other_vlm", {"expected": VLM, "found": "another-vlm"}),
    ("teach", body(teach_request(resume="AAAA")), 400, "bad_request", {"what": "embedding: not safetensors"}),
    ("teach", body(teach_request(resume="%")), 400, "bad_request", {"what": "embedding: not base64"}),
    (
        "answer",
        {"photo": PHOTO, "concepts": [{"name": "B", "class_noun": "dog", "embedding": foreign_embedding()}]},
        409,
        "other_vlm",
        {"expected": VLM, "found": "another-vlm"},
    ),
    (
        "answer",
        {"photo": PHOTO, "concepts": [{"name": "B", "class_noun": "dog"}] * 5},
        422,
        "too_many_concepts",
        {"found": 5, "at_most": 4},
    ),
    ("fit", {"kind": "pet", "positives": [OWN_SIGHT | {"vectors": "%"}]}, 400, "bad_request", {"what": "sight: not vectors"}),
    ("fit", {"kind": "pet", "positives": [OWN_SIGHT | {"vectors": "ADwA"}]}, 400, "bad_request", {"what": "sight: not vectors"}),
    ("fit", {"kind": "pet", "positives": [OWN_SIGHT | {"boxes": []}]}, 400, "bad_request", {"what": "sight: not one finite vector a box"}),
    ("fit", {"kind": "pet", "positives": [OWN_SIGHT | {"vectors": pack([0, 0, float("nan")])}]}, 400, "bad_request", NOT_FINITE),
    ("teach", body(teach_request()) | {"name": ""}, 400, "bad_request", {"what": "name: string_too_short"}),
    ("answer", {"photo": PHOTO, "question": "?" * 1001}, 400, "bad_request", {"what": "question: string_too_long"}),
    ("locate", {"photo": PHOTO, "class_noun": ""}, 400, "bad_request", {"what": "class_noun: string_too_short"}),
    ("locate", {"photo": PHOTO[:200], "class_noun": "dog"}, 422, "not_a_picture", {}),
    ("nonsense", {}, 404, "bad_request", {"what": "no such address"}),
]


@pytest.mark.parametrize(("verb", "sent", "status", "code", "facts"), REFUSED, ids=[f"{r[0]}-{r[3]}-{i}" for i, r in enumerate(REFUSED)])
async def test_a_bad_request_is_refused_with_its_code_and_facts(verb, sent, status, code, facts):
    async with served() as client:
        reply = await client.post(f"/v1/{verb}", json=sent)
        assert (reply.status_code, refusal(reply)) == (status, ErrorReply(code=code, facts=facts))
        assert (await client.post("/v1/see", json={"photo": PHOTO})).status_code == 200  # and nothing is stuck


async def test_sights_of_two_encoders_are_never_mixed():
    async with served() as client:
        seen = (await client.post("/v1/see", json={"photo": PHOTO})).json()
        reply = await client.post("/v1/fit", json={"kind": "object", "positives": seen["sights"], "negatives": [FOREIGN_SIGHT]})
    assert refusal(reply) == ErrorReply(code="other_encoder", facts={"expected": ENCODER, "found": "other"})


async def test_a_fault_of_ours_is_told_without_its_words(logged):

    def broken(*_):
        raise KeyError("Biscuit")

    async with served(lambda: fake_engine(answer=broken)) as client:
        reply = await client.post("/v1/answer", json={"photo": PHOTO})
    assert (reply.status_code, refusal(reply)) == (500, ErrorReply(code="internal", facts={"type": "KeyError"}))
    said = str(logged())
    assert "test_service.py" in said and "Biscuit" not in said


async def test_a_body_over_the_limit_is_refused_whether_or_not_its_length_is_told():
    async def pieces():
        for _ in range(40):
            yield b"x" * 1000

    expected = ErrorReply(code="bad_request", facts={"what": "size", "limit_bytes": 20_000})
    async with served(limits=Limits(max_body_bytes=20_000)) as client:
        told = await client.post("/v1/see", content=b"x" * 20_001)
        untold = await client.post("/v1/see", content=pieces(), headers={"content-type": "application/json"})
    assert (told.status_code, refusal(told)) == (413, expected)
    assert (untold.status_code, refusal(untold)) == (413, expected)


async def test_with_a_token_everything_but_health_asks_for_it():
    async with served(token="sesame") as client:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "sesam"}):
            reply = await client.post("/v1/see", json={"photo": PHOTO}, headers=headers)
            assert (reply.status_code, refusal(reply).code) == (401, "not_allowed")
        assert (await client.post("/v1/see", json={"photo": PHOTO}, headers={"Authorization": "Bearer sesame"})).status_code == 200
        assert (await client.get("/v1/health")).status_code == 200


async def test_health_tells_what_is_loaded():
    async with served() as client:
        health = HealthReply.model_validate_json((await client.get("/v1/health")).content)
    assert (health.ready, health.vlm, health.encoders, health.device, health.busy, health.waiting) == (
        True,
        VLM,
        [ENCODER],
        "cpu",
        False,
        0,
    )
    assert health.memory_bytes > 10_000_000 and health.uptime_s > 0


async def test_while_the_models_load_the_port_answers_and_says_so():
    loaded = threading.Event()

    def slow():
        loaded.wait(PATIENCE_S)
        return fake_engine()

    async with served(slow, ready=False) as client:
        assert (await client.get("/v1/health")).json()["ready"] is False
        for verb, sent in (("see", {"photo": PHOTO}), ("teach", body(teach_request()))):
            reply = await client.post(f"/v1/{verb}", json=sent)
            assert (reply.status_code, refusal(reply)) == (503, ErrorReply(code="not_ready"))
            assert reply.headers["retry-after"] == "5"
        loaded.set()
        await until_told(client, ready=True)
        assert (await client.post("/v1/see", json={"photo": PHOTO})).status_code == 200


async def test_models_that_cannot_be_loaded_are_told_with_the_reason():
    tried = threading.Event()

    def missing():
        tried.wait(PATIENCE_S)
        raise RuntimeError("The embedded language model isn't installed.")

    async with served(missing, ready=False) as client:
        assert refusal(await client.post("/v1/see", json={"photo": PHOTO})) == ErrorReply(code="not_ready")
        tried.set()
        health = await until_told(client, failure="The embedded language model isn't installed.")
        assert health["ready"] is False
        reply = await client.post("/v1/see", json={"photo": PHOTO})
    assert refusal(reply) == ErrorReply(code="not_ready", facts={"why": "The embedded language model isn't installed."})


async def test_a_describe_goes_between_the_steps_of_a_teach():
    teacher = LedTeacher(steps=20)

    def answer(*given, **more):
        teacher.done.append("answer")
        return answer_fake(*given, **more)

    async with served(lambda: fake_engine(teacher, answer)) as client, asyncio.timeout(2 * PATIENCE_S):
        teaching = asyncio.create_task(taught(client, teach_request()))
        await until_told(client, busy=True)
        for asked in range(3):
            while teacher.begun == asked:
                await asyncio.sleep(0.01)
            answering = asyncio.create_task(client.post("/v1/answer", json={"photo": PHOTO}))
            await until_told(client, waiting=1)
            teacher.let.release()  # the step it came in; the next one is not let before the answer is there
            assert (await answering).status_code == 200
        assert teacher.done == ["step", "answer"] * 3 and not teaching.done()
        teacher.let.release(17)
        assert len(await teaching) == 20


async def test_a_full_line_is_refused_as_busy():
    refused = threading.Event()

    def slow(*given):
        refused.wait(PATIENCE_S)
        return "a ball", "a ball", []

    async with served(lambda: fake_engine(answer=slow), limits=Limits(max_waiting=2)) as client:
        asked = [asyncio.create_task(client.post("/v1/answer", json={"photo": PHOTO})) for _ in range(4)]
        async with asyncio.timeout(PATIENCE_S):
            while len(done := [one.result() for one in asked if one.done()]) < 2:
                await asyncio.sleep(0.01)
        assert [refusal(busy) for busy in done] == [ErrorReply(code="busy", facts={"waiting": 2})] * 2
        refused.set()
        assert sorted(reply.status_code for reply in await asyncio.gather(*asked)) == [200, 200, 503, 503]
        assert (await client.get("/v1/health")).json()["waiting"] == 0


async def test_a_second_teach_waits_a_little_and_is_then_refused_as_busy():
    teacher = LedTeacher(steps=10)
    async with served(lambda: fake_engine(teacher), limits=Limits(teach_patience_s=0.2)) as client:
        first = asyncio.create_task(taught(client, teach_request()))
        await until_told(client, busy=True)
        second = await client.post("/v1/teach", json=body(teach_request()))
        assert (second.status_code, refusal(second).code) == (503, "busy")
        teacher.let.release(10)
        assert len(await first) == 10


async def test_as_many_teach_at_a_time_as_learn_in_one_batch():
    teacher = LedTeacher(steps=8)

    def two_at_a_time():
        return Engine(replace(fake_engine(teacher).parts, lessons=2))

    async with served(two_at_a_time, limits=Limits(teach_patience_s=0.2)) as client:
        assert (await client.get("/v1/health")).json()["lessons"] == 2
        both = [asyncio.create_task(taught(client, teach_request())) for _ in range(2)]
        await until_told(client, busy=True)
        third = await client.post("/v1/teach", json=body(teach_request()))
        assert (third.status_code, refusal(third).code) == (503, "busy")
        teacher.let.release(3 * 8)
        assert [len(events) for events in await asyncio.gather(*both)] == [8, 8]
        assert (await client.get("/v1/health")).json()["busy"] is False
        assert len(await taught(client, teach_request())) == 8


async def test_the_log_holds_ids_and_times_and_no_name_or_picture(logged):
    async with served() as client:
        await taught(client, teach_request())
        await client.post("/v1/see", json={"photo": PHOTO}, headers={"X-Request-Id": "r-42"})
        await client.post("/v1/see", json={"photo": "%"})
    lines = logged()
    assert [(e["path"], e["status"]) for e in lines if e["event"] == "request"] == [("/v1/teach", 200), ("/v1/see", 200), ("/v1/see", 400)]
    assert [e["request"] for e in lines if e["event"] == "request"][1] == "r-42"
    assert "Biscuit" not in str(lines) and PHOTO[:40] not in str(lines)
