"""Where PNG, JPEG and WebP files hold text: read from any file, put into one without re-encoding.

Pure bytes. What is read may be anybody's file: what makes no sense ends the reading, nothing is
decompressed beyond a limit, and nothing raises. What is written leaves every other byte of the file
as it was.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PARAMETERS: Final = "parameters"
"""The keyword under which common tools look for a prompt in a PNG."""
NOTE: Final = "nanobanana"
"""The keyword of our own text."""
COMMENT: Final = "UserComment"
"""What a JPEG or WebP has in place of `parameters`: a field of its EXIF data."""
DESCRIPTION: Final = "Description"
XMP: Final = "XML:com.adobe.xmp"
MAX_TEXT: Final = 1_000_000
"""Bytes; a longer text, or one that is longer once decompressed, is not read."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_KEYWORDS: Final = (
    PARAMETERS,
    NOTE,
    DESCRIPTION,
    XMP,
    "prompt",
    "invokeai_metadata",
)
_MAX_PIECES: Final = 100_000
"""Chunks or segments of a file that are looked at."""
_MAX_HEAD: Final = 1_000
"""Segments of a JPEG before its pixels, and bytes between them: decoders take each by itself."""
MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan."""
_EXIF: Final = b"Exif\0\0"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_APP0, _APP1, _APP10, _SCAN, _END = 0xE0, 0xE1, 0xEA, 0xDA, 0xD9
_STANDALONE: Final = (0x01, *range(0xD0, 0xD8))
_STRAY: Final = (0x01, 0xC8, 0xD8, *range(0xF0, 0xFE))
"""Markers that belong nowhere, after which Pillow skips no content."""
_OURS: Final = NOTE.encode() + b"\0"
_SEGMENT: Final = 0xFFFF - 2
"""Bytes that one segment of a JPEG holds."""
_WEBP_OURS: Final = b"nbnb"
_NO_TIFF: Final = b"MM\0*" + struct.pack(">IHI", 8, 0, 0)
_UNICODE: Final = b"UNICODE\0"
_DESCRIBED, _EXIF_IFD, _USER_COMMENT = 0x010E, 0x8769, 0x9286
_UNDEFINED, _LONG = 7, 4


class UnexpectedError(ValueError):
    """The file is not as its format has it, or nothing can be put into it."""


def is_picture(data: bytes) -> bool:
    """Whether it begins as a PNG, JPEG or WebP does."""
    return data.startswith((_PNG, b"\xff\xd8\xff")) or _is_webp(data)


def scans(data: bytes) -> int:
    """How often a JPEG goes through all of its pixels, up to its end: behind it, a phone may have a
    film. 0 for what is none. Raises `UnexpectedError` where far too much stands before the pixels.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return 0
    found, at, left = 0, 2, _MAX_HEAD
    for _ in range(_MAX_PIECES):
        mark = MARKER.search(data, at, len(data) if found else at + left)
        if mark is None or mark[0][1] == _END:
            break
        found += mark[0][1] == _SCAN
        left -= 1 + mark.start() - at
        at = mark.end()
        if mark[0][1] not in _STRAY:
            at += max(2, int.from_bytes(data[at : at + 2]))
    else:
        raise UnexpectedError("too many segments")
    if not found:
        raise UnexpectedError("no pixels within reach")
    return found


def webp_size(data: bytes) -> tuple[int, int] | None:
    """The width and height that a WebP says it has; None for what is none, or does not say."""
    if not _is_webp(data):
        return None
    kind, found = data[12:16], data[20:30]
    with contextlib.suppress(UnexpectedError, struct.error):
        header = found if kind == b"VP8X" else _vp8x(_Piece(kind, found, 0, len(found)))
        width, height = (int.from_bytes(header[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    return None


def read(data: bytes) -> list[tuple[str, str]]:
    """The texts that we know how to read, each with its keyword, as far as the file makes sense."""
    try:
        if data.startswith(_PNG):
            return list(_png_texts(data))
        if data.startswith(b"\xff\xd8\xff"):
            return list(_jpeg_texts(data))
        if _is_webp(data):
            return list(_webp_texts(data))
    except (UnexpectedError, struct.error):
        pass
    return []


def write(data: bytes, parameters: str, note: str) -> bytes:
    """The same picture with both texts, in place of earlier ones.

    Raises `UnexpectedError` where that cannot be done.
    """
    try:
        if data.startswith(_PNG):
            return _png_with(data, parameters, note)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg_with(data, parameters, note)
        if _is_webp(data):
            return _webp_with(data, parameters, note)
    except struct.error:
        pass
    raise UnexpectedError("not a whole PNG, JPEG or WebP picture")


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


@dataclass(frozen=True)
class _Piece:
    """A chunk of a PNG or WebP, or a segment of a JPEG: kind, all its bytes, and where its content
    is in them."""

    kind: bytes
    whole: bytes
    begins: int
    ends: int

    @property
    def content(self) -> bytes:
        return self.whole[self.begins : self.ends]


# PNG: chunks, of which iTXt holds text of any language.


def _png_pieces(data: bytes) -> Iterator[_Piece]:
    at = len(_PNG)
    for _ in range(_MAX_PIECES):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise UnexpectedError("a chunk is cut short")
        yield _Piece(kind, data[at:end], 8, 8 + length)
        if kind == b"IEND":
            return
        at = end
    raise UnexpectedError("too many chunks")


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    try:
        for piece in _png_pieces(data):
            keyword = _keyword(piece)
            if keyword in _KEYWORDS and keyword not in seen:
                seen.add(keyword)
                if (text := _png_text(piece)) is not None:
                    yield keyword, text
    except (UnexpectedError, struct.error):  # what was found before it counts
        return


def _keyword(piece: _Piece) -> str:
    """Under which keyword a chunk holds text; nothing if it holds none."""
    if piece.kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return ""
    return piece.content[:80].partition(b"\0")[0].decode("latin-1")


def _png_text(piece: _Piece) -> str | None:
    _, _, rest = piece.content.partition(b"\0")
    if piece.kind == b"tEXt":
        return rest.decode("latin-1") if len(rest) <= MAX_TEXT else None
    if piece.kind == b"zTXt":
        return _text_of(_inflated(rest[1:]), "latin-1")
    compressed = rest[:1] == b"\1"
    *_, text = rest[2:].split(b"\0", 2)
    return _text_of(_inflated(text) if compressed else text, "utf-8")


def _inflated(data: bytes) -> bytes | None:
    """What was compressed, if it is not more than a text may be."""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, MAX_TEXT)
    except zlib.error:
        return None
    return found if inflater.eof else None


def _text_of(data: bytes | None, encoding: str) -> str | None:
    if data is None or len(data) > MAX_TEXT:
        return None
    return data.decode(encoding, "replace")


def _png_with(data: bytes, parameters: str, note: str) -> bytes:
    pieces = list(_png_pieces(data))
    kinds = [piece.kind for piece in pieces]
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds:
        raise UnexpectedError("no picture in it")
    rest = data[len(_PNG) + sum(len(piece.whole) for piece in pieces) :]
    head, *others = [one.whole for one in pieces if _keyword(one) not in (PARAMETERS, NOTE)]
    ours = _itxt(PARAMETERS, parameters) + _itxt(NOTE, note)
    return b"".join((_PNG, head, ours, *others, rest))


def _itxt(keyword: str, text: str) -> bytes:
    content = keyword.encode() + b"\0\0\0\0\0" + text.encode()
    checked = b"iTXt" + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


# JPEG: segments, of which APP1 holds EXIF data, and APP10 a text of ours in parts.


def _jpeg_pieces(data: bytes) -> Iterator[_Piece]:
    """The segments before the picture itself, which is the last piece."""
    for marker, start, content, end in _jpeg_places(data):
        yield _Piece(bytes([marker]), data[start:end], content - start, end - start)


def _jpeg_places(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The same as markers, each with where it begins, where its content does, and where it ends."""
    at, left = 2, _MAX_HEAD
    for _ in range(_MAX_PIECES):
        start = at
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at, left = at + 1, left - 1
            if left < 0:
                raise UnexpectedError("too many fill bytes")
        filler, marker = struct.unpack_from("BB", data, at)
        if filler != 0xFF or marker in (0x00, 0xD8, 0xD9):
            raise UnexpectedError("a segment does not begin as one")
        if marker == _SCAN:
            yield marker, start, len(data), len(data)
            return
        content = at + 4
        end = at + 2
        if marker not in _STANDALONE:
            (length,) = struct.unpack_from(">H", data, at + 2)
            end += length
            if length < 2 or end > len(data):
                raise UnexpectedError("a segment is cut short")
        yield marker, start, content, end
        at = end
    raise UnexpectedError("too many segments")


def _jpeg_texts(data: bytes) -> Iterator[tuple[str, str]]:
    parts: dict[int, bytes] = {}
    try:
        for piece in _jpeg_pieces(data):
            if _is(piece, _APP1, _EXIF):
                yield from _tiff_texts(piece.content[len(_EXIF) :])
            elif _is(piece, _APP1, _XMP):
                yield XMP, piece.content[len(_XMP) :].decode("utf-8", "replace")
            elif _is(piece, _APP10, _OURS) and len(piece.content) > len(_OURS):
                parts.setdefault(piece.content[len(_OURS)], piece.content[len(_OURS) + 1 :])
    except (UnexpectedError, struct.error):
        pass
    note = b"".join(parts[number] for number in sorted(parts))
    if note and len(note) <= MAX_TEXT:
        yield NOTE, note.decode("utf-8", "replace")


def _is(piece: _Piece, marker: int, begins: bytes) -> bool:
    return piece.kind == bytes([marker]) and piece.content.startswith(begins)


def _jpeg_with(data: bytes, parameters: str, note: str) -> bytes:
    *pieces, scan = _jpeg_pieces(data)
    if scan.kind != bytes([_SCAN]) or b"\xff\xd9" not in scan.whole:
        raise UnexpectedError("the picture is cut short")
    pieces = [piece for piece in pieces if not _is(piece, _APP10, _OURS)]
    place = next((n for n, piece in enumerate(pieces) if _is(piece, _APP1, _EXIF)), None)
    if place is None:
        place = next((n for n, piece in enumerate(pieces) if piece.kind[0] != _APP0), len(pieces))
        before, old, after = pieces[:place], None, pieces[place:]
    else:
        before, old, after = pieces[:place], pieces[place], pieces[place + 1 :]
    ours = (_exif_segment(old, parameters), *_note_segments(note))
    wholes = [piece.whole for piece in before], [piece.whole for piece in after]
    return b"".join((b"\xff\xd8", *wholes[0], *ours, *wholes[1], scan.whole))


def _exif_segment(old: _Piece | None, parameters: str) -> bytes:
    """The EXIF data with the comment; as they were where they make no sense or leave no room."""
    tiff = old.content[len(_EXIF) :] if old else _NO_TIFF
    for text in (parameters, ""):
        with contextlib.suppress(UnexpectedError, struct.error):
            content = _EXIF + _tiff_with(tiff, text)
            if len(content) <= _SEGMENT:
                return _segment(_APP1, content)
    return old.whole if old else b""


def _note_segments(note: str) -> Iterator[bytes]:
    data, room = note.encode(), _SEGMENT - len(_OURS) - 1
    starts = range(0, len(data), room)
    if len(starts) > 255:
        raise UnexpectedError("the text is too long")
    for number, start in enumerate(starts):
        yield _segment(_APP10, _OURS + bytes([number]) + data[start : start + room])


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


# WebP: chunks of a RIFF file. One with EXIF data begins with VP8X, which says so.


def _webp_pieces(data: bytes) -> Iterator[_Piece]:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise UnexpectedError("the file is cut short")
    at, end = 12, size + 8
    for _ in range(_MAX_PIECES):
        if at >= end:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        after = at + 8 + length
        if after > end:
            raise UnexpectedError("a chunk is cut short")
        padded = data[at : after + length % 2].ljust(8 + length + length % 2, b"\0")
        yield _Piece(kind, padded, 8, 8 + length)
        at = after + length % 2
    raise UnexpectedError("too many chunks")


def _webp_texts(data: bytes) -> Iterator[tuple[str, str]]:
    for piece in _webp_pieces(data):
        if piece.kind == b"EXIF":
            yield from _tiff_texts(piece.content.removeprefix(_EXIF))
        elif piece.kind == b"XMP " and len(piece.content) <= MAX_TEXT:
            yield XMP, piece.content.decode("utf-8", "replace")
        elif piece.kind == _WEBP_OURS and len(piece.content) <= MAX_TEXT:
            yield NOTE, piece.content.decode("utf-8", "replace")


def _webp_with(data: bytes, parameters: str, note: str) -> bytes:
    pieces = [piece for piece in _webp_pieces(data) if piece.kind != _WEBP_OURS]
    if not pieces:
        raise UnexpectedError("no picture in it")
    first, *rest = pieces
    if first.kind != b"VP8X":
        head, rest = _vp8x(first), pieces
    else:
        head = first.content
    flags = head[0] | 0x08
    exif = next((one.content for one in rest if one.kind == b"EXIF"), _NO_TIFF)
    with contextlib.suppress(UnexpectedError, struct.error):
        exif = _tiff_with(exif.removeprefix(_EXIF), parameters)
    parts = [_riff(b"VP8X", bytes([flags]) + head[1:])]
    parts += [one.whole for one in rest if one.kind not in (b"EXIF", b"XMP ")]
    parts += [_riff(b"EXIF", exif)]
    parts += [one.whole for one in rest if one.kind == b"XMP "]
    parts += [_riff(_WEBP_OURS, note.encode())]
    (size,) = struct.unpack_from("<I", data, 4)
    return _riff(b"RIFF", b"WEBP" + b"".join(parts)) + data[size + 8 :]


def _riff(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(content)) + content + b"\0" * (len(content) % 2)


def _vp8x(picture: _Piece) -> bytes:
    """The header of a file that is only a picture: flags and size."""
    found = picture.content
    if picture.kind == b"VP8L" and found[:1] == b"\x2f":
        (bits,) = struct.unpack_from("<I", found, 1)
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    elif picture.kind == b"VP8 " and found[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", found, 6))
        width, height, alpha = width - 1, height - 1, 0
    else:
        raise UnexpectedError("no picture in it")
    size = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    return bytes([alpha << 4]) + b"\0\0\0" + size


# EXIF data: a TIFF file of tables, in which everything is found by its offset.


@dataclass(frozen=True)
class _Table:
    """A table of a TIFF file: entries of twelve bytes, and where the next table is."""

    order: str
    at: int
    entries: tuple[bytes, ...]
    following: bytes = b"\0\0\0\0"

    @property
    def whole(self) -> bytes:
        return struct.pack(f"{self.order}H", len(self.entries)) + b"".join(
            (*self.entries, self.following)
        )

    def entry(self, tag: int) -> tuple[int, int, int, int] | None:
        """An entry's own place, the type and count of its value, and the value or its place."""
        for number, entry in enumerate(self.entries):
            found, kind, count, value = struct.unpack(f"{self.order}HHII", entry)
            if found == tag:
                return self.at + 2 + 12 * number, kind, count, value
        return None

    def added(self, at: int, tag: int, kind: int, count: int, value: int) -> _Table:
        """The table with one more entry, at another place."""
        entry = struct.pack(f"{self.order}HHII", tag, kind, count, value)
        entries = sorted((*self.entries, entry), key=lambda one: self._tag(one))
        return _Table(self.order, at, tuple(entries), self.following)

    def _tag(self, entry: bytes) -> int:
        return int(struct.unpack_from(f"{self.order}H", entry)[0])


def _tables(tiff: bytes) -> tuple[_Table, _Table | None]:
    """The first table and that of EXIF, which it leads to."""
    order = {b"MM\0*": ">", b"II*\0": "<"}.get(tiff[:4])
    if order is None:
        raise UnexpectedError("no EXIF data")
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    main = _table(tiff, order, at)
    pointer = main.entry(_EXIF_IFD)
    return main, _table(tiff, order, pointer[3]) if pointer else None


def _table(tiff: bytes, order: str, at: int) -> _Table:
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    starts = range(at + 2, at + 2 + 12 * count, 12)
    entries = tuple(struct.unpack_from("12s", tiff, start)[0] for start in starts)
    (following,) = struct.unpack_from("4s", tiff, at + 2 + 12 * count)
    return _Table(order, at, entries, following)


def _tiff_texts(tiff: bytes) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(UnexpectedError, struct.error):
        main, exif = _tables(tiff)
        if described := _value(tiff, main, _DESCRIBED):
            yield DESCRIPTION, described.rstrip(b"\0").decode("utf-8", "replace")
        for text in _comments(_value(tiff, exif, _USER_COMMENT) if exif else b""):
            yield COMMENT, text


def _value(tiff: bytes, table: _Table, tag: int) -> bytes:
    """A value of bytes that lies elsewhere in the file; nothing if there is none."""
    found = table.entry(tag)
    if found is None or found[2] <= 4:
        return b""
    _, _, count, start = found
    return tiff[start : start + count] if count <= MAX_TEXT else b""


def _comments(value: bytes) -> list[str]:
    """What a comment may say: the byte order of its Unicode is told nowhere."""
    kind, text = value[:8], value[8:]
    if kind == _UNICODE:
        return [text.decode(order, "replace") for order in ("utf-16-be", "utf-16-le")]
    return [text.strip(b"\0").decode("utf-8", "replace")] if text else []


def _tiff_with(tiff: bytes, comment: str) -> bytes:
    """The same data with the comment at their end; all that was there keeps its place.

    The comment is Unicode with the higher byte first, as the common tools have it.
    """
    text = _UNICODE + comment.encode("utf-16-be")
    main, exif = _tables(tiff)
    if exif is not None and (old := exif.entry(_USER_COMMENT)):
        done = _tiff_replaced(tiff, exif.order, old, text)
    else:
        done = _tiff_added(tiff, main, exif, text)
    if (COMMENT, comment) not in _tiff_texts(done) and comment:
        raise UnexpectedError("EXIF data that overlap")
    return done


def _tiff_added(tiff: bytes, main: _Table, exif: _Table | None, text: bytes) -> bytes:
    """With new tables at the end, which the header or the first table leads to."""
    tiff += b"\0" * (len(tiff) % 2)
    order, end = main.order, len(tiff)
    pointer = main.entry(_EXIF_IFD)
    if pointer is None or exif is None:
        exif_at = end + len(main.whole) + 12
        tiff = _patched(tiff, order, 4, end) + main.added(end, _EXIF_IFD, _LONG, 1, exif_at).whole
        exif = _Table(order, exif_at, ())
    else:
        tiff = _patched(tiff, order, pointer[0] + 8, end)
        exif = _Table(order, end, exif.entries, exif.following)
    text_at = len(tiff) + len(exif.whole) + 12
    table = exif.added(exif.at, _USER_COMMENT, _UNDEFINED, len(text), text_at)
    return tiff + table.whole + text


def _tiff_replaced(tiff: bytes, order: str, old: tuple[int, int, int, int], text: bytes) -> bytes:
    """With the new comment at the end, and nothing left of the old one."""
    place, _, count, start = old
    if count > 4 and start + count == len(tiff):
        tiff = tiff[:start]
    elif count > 4 and start + count < len(tiff):
        tiff = tiff[:start] + b"\0" * count + tiff[start + count :]
    tiff += b"\0" * (len(tiff) % 2)
    entry = struct.pack(f"{order}HII", _UNDEFINED, len(text), len(tiff))
    return tiff[: place + 2] + entry + tiff[place + 12 :] + text


def _patched(tiff: bytes, order: str, at: int, value: int) -> bytes:
    return tiff[:at] + struct.pack(f"{order}I", value) + tiff[at + 4 :]
