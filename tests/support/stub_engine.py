"""A stand-in for the engine in tests of the bot's process: speaks messages.py over real HTTP in a real process, in milliseconds.

It recognises by strong colours, "learns" by counting steps, and says one sentence. `python stub_engine.py PORT`, with
STUB_SEE_S and STUB_STEP_S as the seconds a see and a training step take. GET /stub/log tells what it was asked.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import sys
import time
from collections.abc import AsyncIterator

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image

from myvlm_engine.messages import (
    AnswerReply,
    AnswerRequest,
    ErrorReply,
    FitReply,
    FitRequest,
    Head,
    HealthReply,
    NamedConcept,
    SeeReply,
    SeeRequest,
    Sight,
    TeachEvent,
    TeachRequest,
    pack,
)

ENCODER, VLM, WIDTH, STEPS = "stub-colours:1", "stub-words:1", 24, 20
SEE_S, STEP_S = float(os.environ.get("STUB_SEE_S", "0")), float(os.environ.get("STUB_STEP_S", "0.01"))
WHOLE = (0.0, 0.0, 1.0, 1.0)

app = FastAPI()
started = time.monotonic()
asked: list[dict[str, object]] = []


@app.get("/stub/log")
async def log() -> list[dict[str, object]]:
    return asked


@app.get("/v1/health")
async def health() -> HealthReply:
    return HealthReply(
        ready=True, vlm=VLM, encoders=[ENCODER], device="cpu", dtype="float32", busy=False, waiting=0,
        uptime_s=time.monotonic() - started, memory_bytes=1, version="stub",
    )  # fmt: skip


@app.post("/v1/see", response_model=None)
async def see(request: SeeRequest) -> SeeReply | JSONResponse:
    asked.append({"verb": "see"})
    await asyncio.sleep(SEE_S)
    try:
        vector = colours(base64.b64decode(request.photo))
    except OSError:
        return JSONResponse(ErrorReply(code="not_a_picture").model_dump(), 400)
    return SeeReply(sights=[Sight(encoder=ENCODER, width=WIDTH, vectors=pack(vector[None]), boxes=[WHOLE])])


def colours(photo: bytes) -> np.ndarray:
    """(WIDTH,) unit vector: hues of the strongly coloured pixels, and a constant for photos without any."""
    hue, saturation, value = (np.asarray(band) for band in Image.open(io.BytesIO(photo)).convert("HSV").split())
    strong = hue[(saturation > 170) & (value > 150)]
    counts = np.histogram(strong, bins=WIDTH - 1, range=(0, 256))[0] / hue.size
    vector = np.append(counts, 0.01)
    return vector / np.linalg.norm(vector)


@app.post("/v1/fit")
async def fit(request: FitRequest) -> FitReply:
    asked.append({"verb": "fit", "positives": len(request.positives)})
    mean = np.mean([sight.array()[0] for sight in request.positives], axis=0)
    head = Head(
        encoder=ENCODER, width=WIDTH, vectors=pack(mean[None] / np.linalg.norm(mean), "float32"), biases=[0.0], slope=20.0, offset=-14.0
    )
    return FitReply(head=head, photo_boxes=[WHOLE] * len(request.positives), seconds=0.01)


@app.post("/v1/teach")
async def teach(request: TeachRequest) -> StreamingResponse:
    first = int(base64.b64decode(request.resume)) if request.resume else 0
    asked.append({"verb": "teach", "name": request.name, "from_step": first})
    return StreamingResponse(learning(request.name, first), media_type="application/x-ndjson")


async def learning(name: str, first: int) -> AsyncIterator[str]:
    for step in range(first, STEPS + 1):
        learned = {"embedding": base64.b64encode(str(step).encode()).decode(), "vlm": VLM, "sample": f"{name} is on the floor."}
        stage = "done" if step == STEPS else "learning"
        yield TeachEvent(stage=stage, step=step, of=STEPS, loss=1 / (step + 1), **learned).model_dump_json() + "\n"  # type: ignore[arg-type]
        await asyncio.sleep(STEP_S)


@app.post("/v1/answer")
async def answer(request: AnswerRequest) -> AnswerReply:
    asked.append({"verb": "answer", "names": [concept.name for concept in request.concepts]})
    subject = " and ".join(concept.name for concept in request.concepts) or "A thing"
    named = [NamedConcept(name=c.name, how="embedding" if c.embedding else "substitution") for c in request.concepts]
    return AnswerReply(text=f"{subject} is on the floor.", base_text="A thing is on the floor.", named=named, seconds=0.01)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
