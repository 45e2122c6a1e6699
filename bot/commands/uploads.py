"""Attachments of a command or a message as Photos: size first, then the download, then the decoding."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

import aiohttp
import discord

from ..errors import Refusal
from ..photos import Photo, PhotoReader

DOWNLOAD_S = 60.0  # a file of Discord's largest takes so long over 1.4 Mbit/s; only a few are read at a time, so nobody holds up others


async def read_attachments(reader: PhotoReader, attachments: Sequence[discord.Attachment]) -> list[Photo]:
    """In order. Errors: Refusal, with the number of the photo it is about."""
    for which, attachment in enumerate(attachments, 1):
        refuse_size(attachment.size, reader.limits.max_bytes, which)
    return [await read_attachment(reader, attachment, which) for which, attachment in enumerate(attachments, 1)]


def refuse_size(size_bytes: int, limit_bytes: int, which: int) -> None:
    """Before anything is downloaded, by what Discord says of the file."""
    if size_bytes == 0:
        raise Refusal("empty_file", which=which)
    if size_bytes > limit_bytes:
        raise Refusal("too_many_bytes", which=which, size_bytes=size_bytes, limit_bytes=limit_bytes)


async def read_attachment(reader: PhotoReader, attachment: discord.Attachment, which: int) -> Photo:
    async def download() -> bytes:
        return await downloaded(attachment.read(), Refusal("download_failed", which=which))

    return replace(await reader.fetch(download, which), spoiler=attachment.is_spoiler())


async def downloaded(file: Awaitable[bytes], refusal: Refusal) -> bytes:
    """Errors: the refusal, where Discord doesn't hand it out, or not in time."""
    try:
        async with asyncio.timeout(DOWNLOAD_S):
            return await file
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        raise refusal from error
