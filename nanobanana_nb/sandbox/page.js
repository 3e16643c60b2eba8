// Fetches this very page again every two seconds, while it is looked at, and puts in what changed:
// a card that did not change is not touched, so that focus, selection and pictures stay.
(() => {
  const EVERY = 2000;
  const pause = document.getElementById("pause");
  const copy = document.getElementById("copy");
  const notice = document.getElementById("notice");
  const list = document.getElementById("tasks");
  const written = new Map();
  let paused = false;
  let busy = false;

  const say = (text) => {
    if (notice.textContent !== text) notice.textContent = text;
  };

  const note = (node) => written.set(node.id, node.outerHTML);

  const swap = (fresh) => {
    const old = document.getElementById(fresh.id);
    if (written.get(fresh.id) === fresh.outerHTML) return old;
    note(fresh);
    const focused = old?.querySelector("summary") === document.activeElement;
    const open = old?.querySelector("details")?.open;
    const node = document.adoptNode(fresh);
    old?.replaceWith(node);
    if (open) node.querySelector("details").open = true;
    if (old && focused) node.querySelector("summary")?.focus({ preventScroll: true });
    return node;
  };

  const merge = (page) => {
    page.querySelectorAll("[data-part]").forEach(swap);
    let at = list.firstElementChild;
    for (const fresh of [...page.getElementById("tasks").children]) {
      const stands = at?.id === fresh.id;
      const node = swap(fresh);
      if (stands) at = node.nextElementSibling;
      else list.insertBefore(node, at);
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      written.delete(gone.id);
      gone.remove();
    }
  };

  const refresh = async () => {
    if (busy || paused || document.visibilityState !== "visible") return;
    busy = true;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      merge(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say("");
    } catch {
      say("The sandbox does not answer any more. This is how it was.");
    } finally {
      busy = false;
    }
  };

  document.getElementById("still").hidden = true;
  pause.hidden = copy.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    refresh();
  });
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("export").textContent);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1600);
  });
  document.querySelectorAll("[data-part], #tasks > li").forEach(note);
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, EVERY);
})();
