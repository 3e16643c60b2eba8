"""A process of its own that draws what a hostile host hands out, under a limit on its memory.

Called with the address of the API, a home and whether to label pictures; prints JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from nanobanana_nb import NanoBananaError, Settings, Studio

from .hostile_files import HARMLESS, HOSTILE

MORE = 150 << 20
"""Bytes of memory that hostile files may need beyond what harmless ones of 4K did."""


def memory(name: str) -> int:
    """What the system says of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def drawn(studio: Studio, name: str) -> dict[str, str]:
    """What came of one picture."""
    try:
        one = studio.wait(studio.generate(name))
    except NanoBananaError as error:
        return {"error": type(error).__name__, "said": str(error)}
    except BaseException as error:
        return {"foreign": repr(error)}
    shown = json.dumps(one._repr_mimebundle_(), default=repr)
    return {"file": str(one.image.path), "shown": shown}


def main(url: str, home: Path, embed: bool) -> None:
    quick = {"first_poll": 0.0, "poll_interval": 0.01, "backoff": 0.001, "embed": embed}
    settings = Settings.load(
        base_url=url, api_key="test-key", home=home, pictures=home / "pictures", **quick
    )
    studio = Studio(settings)
    found = {name: drawn(studio, name) for name in HARMLESS}
    harmless = memory("VmHWM")
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmPeak") + MORE,) * 2)
    found |= {one.name: drawn(studio, one.name) for one in HOSTILE}
    grown = memory("VmHWM") - harmless
    found["after"] = drawn(studio, "4k-jpeg")
    studio.close()
    print(json.dumps({"grown": grown, "harmless": harmless, "found": found}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "embed")
