"""A message on a connection, sent the way it says: whole or in part, with a pause, then a reset."""

from __future__ import annotations

import asyncio
import socket
import struct

from .kinds import Answer


async def send(writer: asyncio.StreamWriter, head: bytes, message: Answer) -> None:
    """Send head and body, as much and as fast as the message says, and reset if it says so."""
    if not message.silent:
        whole = head + message.body
        stop = len(whole) - int(len(message.body) * (1 - message.part))
        middle = stop - len(message.body) // 2 if message.pause else stop
        writer.write(whole[:middle])
        await writer.drain()
        if message.pause:
            await asyncio.sleep(message.pause)
            writer.write(whole[middle:stop])
            await writer.drain()
    if message.end == "reset":
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an orderly end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
