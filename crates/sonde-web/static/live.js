// Rows are asked for again as results come in: those alone that changed, at most every two seconds, and put in place
// without moving anything else.
const list = document.querySelector("[data-live]");
const changed = new Set();
let isWaiting = false;

async function refresh() {
  isWaiting = false;
  if (document.hidden || changed.size === 0) return;
  const ids = [...changed].slice(0, 200);
  for (const id of ids) changed.delete(id);
  const response = await fetch(`/rows?ids=${encodeURIComponent(ids.join(","))}`);
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ["headline", "open"]) replace(document.getElementById(id), fresh.getElementById(id));
  for (const row of fresh.querySelectorAll("li[id]")) {
    for (const old of document.querySelectorAll(`[id="${CSS.escape(row.id)}"]`)) replace(old, row.cloneNode(true));
  }
  if (changed.size > 0) soon();
}

function replace(old, fresh) {
  if (!old || !fresh || old.isEqualNode(fresh)) return;
  const link = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  old.replaceWith(fresh);
  if (link) fresh.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus();
}

function soon() {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => refresh().catch(() => {}), 2000);
}

if (list?.querySelector("li[id]")) {
  const outcomes = new EventSource("/v1/outcomes");
  outcomes.addEventListener("outcome", (event) => {
    changed.add(JSON.parse(event.data).monitor);
    soon();
  });
  document.addEventListener("visibilitychange", soon);
  addEventListener("pagehide", () => outcomes.close());
}

// Checkers take a second to answer; the page does not wait for them.
const fleet = document.getElementById("fleet");
if (fleet) {
  fetch("/fleet/summary")
    .then((response) => (response.ok ? response.text() : ""))
    .then((text) => {
      const link = new DOMParser().parseFromString(text, "text/html").querySelector("a");
      if (link) fleet.replaceChildren(link);
    })
    .catch(() => {});
}
