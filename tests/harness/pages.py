"""The pages of the front ends, driven as a user drives them.

Cells, outputs and pictures are found in the same way in all of them, classic Notebook included.

Playwright is imported inside the functions: without it, the tests are to skip, not to break
while they are collected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from .servers import ClassicServer, JupyterServer, Server, Theme

EXPECT_TIMEOUT = 20_000
RUN_TIMEOUT = 60_000

# Voila's page asks two content networks for these; it works without them.
VOILA_ASKS_FOR = ("fortawesome", "mathjax")

_NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden)"
_CODE_CELL = ":is(.jp-CodeCell, #notebook-container .code_cell)"
_OUTPUT = ":is(.jp-OutputArea-output, .output_subarea)"

# Counts changes of the [n] prompts, so that a run is seen even where the numbers stay the same.
_WATCH_PROMPTS = """() => {
    window.promptChanges = 0;
    const observer = new MutationObserver(() => { window.promptChanges += 1; });
    for (const prompt of document.querySelectorAll('.jp-InputPrompt')) {
        observer.observe(prompt, {childList: true, characterData: true, subtree: true});
    }
}"""

_IDLE = """() => {
    const notebook = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
    const status = notebook.querySelector('.jp-Notebook-ExecutionIndicator');
    const prompts = [...notebook.querySelectorAll('.jp-InputPrompt')];
    return status.dataset.status === 'idle' && !prompts.some(p => p.innerText.includes('*'));
}"""

# Widgets that are drawn before their extension is there stay text.
_CLASSIC_READY = """() => window.Jupyter && Jupyter.notebook && Jupyter.notebook._fully_loaded
    && require.defined('nbextensions/jupyter-js-widgets/extension')"""

_CLASSIC_IDLE = """() => Jupyter.notebook.kernel && Jupyter.notebook.kernel.is_connected()
    && !Jupyter.notebook.kernel_busy
    && !document.querySelector('#notebook-container .code_cell.running')
    && document.querySelector('#kernel_indicator_icon.kernel_idle_icon') !== null"""

_WATCH_RESTART = """() => {
    window.kernelIsNew = false;
    Jupyter.notebook.events.one('kernel_ready.Kernel', () => { window.kernelIsNew = true; });
}"""

_DESCRIBE = """() => [...document.querySelectorAll('.jp-Cell')].map(cell =>
    [...cell.querySelectorAll('.jp-OutputArea-output')].map(output => ({
        mime: output.dataset.mimeType || '',
        text: output.innerText.slice(0, 200).trim(),
        images: [...output.querySelectorAll('img')].map(image => image.naturalWidth),
        alts: [...output.querySelectorAll('img')].map(image => image.alt),
        inputs: output.querySelectorAll('textarea, select, button, input').length,
    })))"""


def open_lab(page: Page, server: JupyterServer, notebook: str, theme: Theme = "light") -> None:
    """Open a notebook in Lab and wait for its kernel."""
    server.set_theme(theme)
    page.goto(server.lab_url(notebook))
    _wait_ready(page, theme)


def open_notebook7(
    page: Page, server: JupyterServer, notebook: str, theme: Theme = "light"
) -> None:
    """Open a notebook in Notebook 7 and wait for its kernel."""
    server.set_theme(theme)
    page.goto(server.notebook_url(notebook))
    _wait_ready(page, theme)


def open_voila(page: Page, server: JupyterServer, notebook: str, theme: Theme = "light") -> None:
    """Open a notebook in Voila; the page is there when all its cells have run."""
    page.goto(server.voila_url(notebook, theme))
    page.locator("#rendered_cells").wait_for(state="attached", timeout=RUN_TIMEOUT)
    _check_theme(page, theme)


def _wait_ready(page: Page, theme: Theme) -> None:
    """Wait until the toolbar names a kernel, then until it is idle.

    The indicator alone lies: it says idle before there is a session, and "Run All Cells" then
    opens a dialog that asks for a kernel.
    """
    panel = page.locator(_NOTEBOOK)
    panel.wait_for()
    name = panel.locator(".jp-Toolbar-kernelName").first
    _expect(name).to_have_text(re.compile("Python 3"), timeout=RUN_TIMEOUT)
    wait_idle(page)
    _check_theme(page, theme)


def _check_theme(page: Page, theme: Theme) -> None:
    light = "true" if theme == "light" else "false"
    _expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)


def run_all(page: Page, timeout: int = RUN_TIMEOUT) -> None:
    """Choose "Run All Cells" and wait until all of them have ended (Lab and Notebook 7)."""
    page.evaluate(_WATCH_PROMPTS)
    _choose(page, "Run", "runmenu:run-all")
    page.wait_for_function("() => window.promptChanges > 0")
    wait_idle(page, timeout)


def restart_and_run_all(page: Page, timeout: int = RUN_TIMEOUT) -> None:
    """Choose "Restart Kernel and Run All Cells", say yes, and wait for the end."""
    _choose(page, "Run", "runmenu:restart-and-run-all")
    page.evaluate(_WATCH_PROMPTS)
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.wait_for_function("() => window.promptChanges > 0")
    wait_idle(page, timeout)


def start_all(page: Page) -> None:
    """Choose "Run All Cells" and do not wait."""
    _choose(page, "Run", "runmenu:run-all")


def wait_idle(page: Page, timeout: int = RUN_TIMEOUT) -> None:
    """Wait until no cell runs or waits for its turn (Lab and Notebook 7)."""
    page.wait_for_function(_IDLE, timeout=timeout)


def save(page: Page, server: JupyterServer, notebook: str) -> Any:
    """Choose "Save Notebook", wait for the server to have written it, and return the file."""
    return _saved(page, server, notebook, lambda: _choose(page, "File", "docmanager:save"))


def _saved(page: Page, server: Server, notebook: str, press: Callable[[], None]) -> Any:
    with page.expect_response(
        lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url
    ) as saved:
        press()
    if not saved.value.ok:
        raise AssertionError(f"the notebook was not saved: {saved.value.status}")
    return server.read(notebook)


def _choose(page: Page, menu: str, command: str) -> None:
    """Use the menus, not the keyboard: shortcuts depend on where the focus is."""
    page.get_by_role("menubar").get_by_text(menu, exact=True).click()
    page.locator(f".lm-Menu-item[data-command='{command}']").click()


# ------------------------------------------------------------------ classic Notebook


def open_classic(page: Page, server: ClassicServer, notebook: str) -> None:
    """Open a notebook in the classic Notebook and wait for its kernel and its widgets."""
    page.goto(server.classic_url(notebook))
    _wait_classic_ready(page)


def reload_classic(page: Page) -> None:
    """Load the page again, as F5 does; the kernel goes on. What is not saved is gone."""
    page.reload()
    _wait_classic_ready(page)


def _wait_classic_ready(page: Page) -> None:
    page.wait_for_function(_CLASSIC_READY, timeout=RUN_TIMEOUT)
    wait_classic_idle(page)


def wait_classic_idle(page: Page, timeout: int = RUN_TIMEOUT) -> None:
    """Wait until there is a kernel and no cell runs or waits for its turn."""
    page.wait_for_function(_CLASSIC_IDLE, timeout=timeout)


def run_all_classic(page: Page, timeout: int = RUN_TIMEOUT) -> None:
    """Choose "Run All" and wait until all cells have ended."""
    start_all_classic(page)
    wait_classic_idle(page, timeout)


def start_all_classic(page: Page) -> None:
    """Choose "Run All" and do not wait."""
    _choose_classic(page, "Cell", "run_all_cells")


def restart_classic(page: Page) -> None:
    """Choose "Restart", say yes, and wait for the new kernel; the outputs stay."""
    page.evaluate(_WATCH_RESTART)
    _choose_classic(page, "Kernel", "restart_kernel")
    page.locator(".modal-dialog .modal-footer .btn-danger").click()
    page.wait_for_function("() => window.kernelIsNew", timeout=RUN_TIMEOUT)
    page.locator(".modal-backdrop").wait_for(state="detached")
    wait_classic_idle(page)


def save_classic(page: Page, server: ClassicServer, notebook: str) -> Any:
    """Choose "Save and Checkpoint", wait for the server to have written it; return the file."""
    return _saved(page, server, notebook, lambda: _choose_classic(page, "File", "save_checkpoint"))


def _choose_classic(page: Page, menu: str, item: str) -> None:
    page.locator("#menubar").get_by_role("link", name=menu, exact=True).click()
    page.locator(f"#{item} a").click()


# ------------------------------------------------------------------ what is shown, anywhere


def code_cell(page: Page, number: int) -> Locator:
    """Return the code cell with this index, counted from 0."""
    return page.locator(_CODE_CELL).nth(number)


def cell_outputs(page: Page, number: int) -> Locator:
    """Return the outputs of the code cell with this index."""
    return code_cell(page, number).locator(_OUTPUT)


def images(page: Page) -> Locator:
    """Return every picture in the outputs of the page."""
    return page.locator(f"{_OUTPUT} img")


def shown(page: Page, image: Locator) -> tuple[int, int]:
    """Check that a user sees this picture, and return its own size in pixels.

    "Visible" says only that there is a box: a broken picture has one, and so has one that is
    scrolled out of view.
    """
    from playwright.sync_api import Error

    try:
        image.scroll_into_view_if_needed()
    except Error:  # classic Notebook draws outputs anew when its widgets are there
        image.scroll_into_view_if_needed()
    _expect(image).to_be_visible()
    _expect(image).to_be_in_viewport(ratio=0.9)
    try:
        image.evaluate("image => image.decode()")
    except Error as error:
        raise AssertionError(f"a broken picture: {error.message}") from error
    width, height = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    if not (width and height):
        raise AssertionError("a picture without pixels")
    return width, height


def describe(page: Page) -> list[list[dict[str, Any]]]:
    """Say for each cell what is in its outputs: mime type, text, widths of pictures, inputs."""
    cells: list[list[dict[str, Any]]] = page.evaluate(_DESCRIBE)
    return cells


def _expect(target: Locator) -> Any:
    from playwright.sync_api import expect

    return expect(target)
