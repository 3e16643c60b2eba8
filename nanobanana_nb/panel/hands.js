// What a page can do that ipywidgets cannot: keys, clipboard, drop and paste.
// It works on the panel that it stands in, and remembers only where the focus was.

const MOST_BYTES = 10_000_000; // the API takes no larger picture, a notebook's server no larger message
const FIELDS = "input, textarea, select";

function render({ model, el }) {
  const controller = new AbortController();
  const on = (node, event, handler, options = {}) =>
    node.addEventListener(event, handler, { signal: controller.signal, ...options });

  // The widget is put into the page after this function has run.
  const attach = () => {
    const panel = el.closest(".nbp-panel");
    if (panel) listen(panel);
    else if (!controller.signal.aborted) requestAnimationFrame(attach);
  };

  const listen = (panel) => {
    // At the window: Notebook 7 takes its shortcuts at the document, before any element is asked.
    on(window, "keydown", (event) => {
      if (panel.contains(event.target)) key(event, panel);
    }, { capture: true });
    on(panel, "click", (event) => {
      const code = event.target.closest(".nbp-code");
      if (code) copy(code);
    });
    on(panel, "click", (event) => {
      if (!event.target.closest("button.nbp-generate")) return;
      event.stopPropagation();
      generate(panel);
    }, { capture: true });
    on(panel, "paste", (event) => {
      // A spreadsheet's cells come as text and as a picture of it; the text is meant.
      if (!event.clipboardData?.getData("text/plain")) take(event, event.clipboardData);
    });
    on(panel, "dragover", (event) => {
      if (meant(event.dataTransfer)) event.preventDefault();
    });
    on(panel, "drop", (event) => take(event, event.dataTransfer));
    model.on("msg:custom", () => delete panel.dataset.waiting);
    followFocus(panel, panel.querySelector(".nbp-large"));
    panel.dataset.hands = "true"; // from here on the keys are the panel's
  };

  const key = (event, panel) => {
    const { target, repeat } = event;
    const pressed = event.ctrlKey || event.metaKey;
    const enter = event.key === "Enter";
    const own = (act) => {
      event.preventDefault();
      event.stopPropagation();
      if (!repeat) act();
    };
    if (enter && pressed) {
      own(() => generate(panel)); // and the notebook does not run the cell
    } else if (enter && target.closest(".nbp-code")) {
      own(() => copy(target.closest(".nbp-code")));
    } else if (enter && repeat && target.closest("button")) {
      own(() => {}); // a held key is one click
    } else if (event.key === "Escape" && panel.querySelector(".nbp-large:not(.nbp-off)")) {
      own(() => model.send({ do: "escape" }));
    } else if (event.altKey && target.closest(".nbp-prompt textarea") && turns[event.key]) {
      own(() => model.send({ do: turns[event.key] }));
    } else if (!pressed || (target.closest(FIELDS) && "acvxyz".includes(event.key.toLowerCase()))) {
      event.stopPropagation(); // to type, or to move about: not a shortcut of the notebook's
    }
  };

  const turns = { ArrowUp: "older", ArrowDown: "newer" };

  // What is asked for travels with the click: a change that ipywidgets holds back comes after it.
  const generate = (panel) => {
    panel.dataset.waiting = "true"; // until the kernel answers
    const text = (selector) => panel.querySelector(selector)?.textContent.trim();
    model.send({
      do: "generate",
      prompt: panel.querySelector(".nbp-prompt textarea").value,
      aspect_ratio: text(".nbp-ratio button.mod-active"),
      output_format: text(".nbp-format button.mod-active"),
      style: text(".nbp-styles option:checked") ?? "",
      count: panel.querySelector(".nbp-count input").value,
    });
  };

  const copy = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // not allowed, or a page without https
      getSelection().selectAllChildren(code);
      if (!document.execCommand("copy")) return;
    }
    code.dataset.copied = "true";
    setTimeout(() => delete code.dataset.copied, 1500);
  };

  const meant = (data) => data?.types.includes("Files") || data?.types.includes("text/uri-list");

  const take = async (event, data) => {
    if (!meant(data)) return; // text goes where it is pasted or dropped
    event.preventDefault(); // or the browser leaves the notebook for the file
    event.stopPropagation();
    const files = [...data.files];
    if (!files.length) {
      const links = data.getData("text/uri-list").split(/\r?\n/);
      model.send({ do: "link", text: links.find((line) => line && !line.startsWith("#")) ?? "" });
    }
    for (const file of files) {
      const { name } = file;
      if (!file.type.startsWith("image/")) model.send({ do: "not-a-picture", name });
      else if (file.size > MOST_BYTES) model.send({ do: "too-large", name });
      else model.send({ do: "picture", name }, undefined, [await file.arrayBuffer()]);
    }
  };

  // The button that opens the large view is hidden by it, and Escape would be nobody's.
  const followFocus = (panel, large) => {
    let before = null;
    const open = () => !large.classList.contains("nbp-off");
    let was = open();
    on(panel, "focusin", (event) => { if (!large.contains(event.target)) before = event.target; });
    const observer = new MutationObserver(() => {
      if (open() === was) return;
      was = open();
      const focused = document.activeElement;
      const idle = focused === document.body || panel.contains(focused);
      if (!idle || focused.matches(FIELDS)) return;
      if (was) large.querySelector("button.nbp-close")?.focus();
      else before?.focus();
    });
    observer.observe(large, { attributes: true, attributeFilter: ["class"] });
    controller.signal.addEventListener("abort", () => observer.disconnect());
  };

  attach();
  return () => controller.abort();
}

// A page that gets this far can draw it: only then it is put into the panel. While a page is
// loading it can miss the answer (seen in Voila), so that it is asked for a few times.
const initialize = ({ model }) => {
  const ask = () => {
    try {
      model.send({ do: "here" });
    } catch { // the kernel has gone meanwhile, and its panel with it
    }
  };
  const timers = [0, 1000, 3000, 8000].map((after) => setTimeout(ask, after));
  return () => timers.forEach(clearTimeout);
};

export default { initialize, render };
