"""What an import adds to a live kernel that has IPython and ipywidgets already."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import NamedTuple

from .kernel import run
from .table import plain, verdict

GOAL = 0.25
"""CPU time of `import nanobanana_nb`, in imports of httpx."""
OURS, LOAD, UNIT = "import nanobanana_nb", "%load_ext nanobanana_nb", "import httpx"
WHOLE = "from nanobanana_nb import Studio"
PEERS = ("import replicate", "import fal_client", "import openai", "import google.genai")
NAMES = (OURS, LOAD, WHOLE, UNIT, *PEERS)
_MEASURE = """
import json, sys, time
before, cpu, wall = len(sys.modules), time.process_time(), time.perf_counter()
{statement}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
loaded = [name for name in ("httpx", "PIL") if name in sys.modules]
print(json.dumps([cpu * 1000, wall * 1000, len(sys.modules) - before, " ".join(loaded)]))
"""


class Sample(NamedTuple):
    """One import, in milliseconds; `loaded` names those of httpx and PIL that came with it."""

    cpu: float
    wall: float
    modules: int
    loaded: str


def table(samples: int) -> str:
    """Medians of `samples` fresh kernels each, taken in turns."""
    taken: dict[str, list[Sample]] = {name: [] for name in _installed()}
    for _ in range(samples):
        for name, of_it in taken.items():
            of_it.append(_sample(name))
    unit = statistics.median(sample.cpu for sample in taken[UNIT])
    rows = [_row(name, taken.get(name, []), unit) for name in NAMES]
    head = ("", "CPU ms", "wall ms", "modules", "/ httpx", "of httpx, PIL", "goal", "")
    title = f"IMPORT, into a kernel with ipywidgets (fresh kernels, medians of {samples})"
    return plain(title, head, rows)


def _installed() -> list[str]:
    """Those that can be imported at all; afterwards their byte code is on disk."""
    plainly = [name if name != LOAD else "import nanobanana_nb.magics" for name in NAMES]
    tries = [
        subprocess.Popen([sys.executable, "-c", statement], stderr=subprocess.DEVNULL)
        for statement in plainly
    ]
    return [name for name, one in zip(NAMES, tries, strict=True) if one.wait() == 0]


def _sample(name: str) -> Sample:
    statement = name if name != LOAD else f"get_ipython().run_line_magic(*{LOAD[1:].split()})"
    ran = run(["import IPython, ipywidgets", _MEASURE.format(statement=statement)])
    return Sample(*json.loads(ran.cells[-1].outputs[0].text))


def _row(name: str, samples: list[Sample], unit: float) -> list[str]:
    if not samples:
        return [name, "not installed", *[""] * 6]
    cpu = statistics.median(sample.cpu for sample in samples)
    wall = statistics.median(sample.wall for sample in samples)
    loaded = samples[-1].loaded
    figures = [f"{cpu:.1f}", f"{wall:.1f}", str(samples[-1].modules), f"{cpu / unit:.2f}"]
    goal = [f"<= {GOAL}, neither", verdict(cpu <= GOAL * unit and not loaded)]
    return [name, *figures, loaded or "neither", *(goal if name == OURS else ["", ""])]
