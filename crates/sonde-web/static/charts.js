// A line under the pointer, or where arrow keys led, with the numbers of that moment; a drag, or Shift and Enter, looks closer.
// Numbers are those of the table below each chart; without this script they are read there.
// Where no period can be chosen, there is nothing closer to look at.
const zooms = document.querySelector(".segmented") !== null;
for (const figure of document.querySelectorAll("figure.figure")) follow(figure);

function follow(figure) {
  const canvas = figure.querySelector(".canvas");
  const chart = canvas?.querySelector("svg.chart");
  const rows = [...figure.querySelectorAll("tbody tr")].map((row) => ({
    x: Number(row.dataset.x),
    time: row.querySelector("th").textContent,
    values: [...row.querySelectorAll("td")].map((cell) => cell.textContent),
  }));
  if (!chart || rows.length === 0) return;
  const names = [...figure.querySelectorAll("thead th")].slice(1).map((head) => head.textContent);
  const cursor = add(canvas, "cursor");
  const chosen = add(canvas, "chosen");
  const tip = add(canvas, "tip");
  const top = Number(chart.dataset.top);
  const height = Number(chart.dataset.height);
  for (const part of [cursor, chosen]) Object.assign(part.style, { top: `${top}px`, height: `${height}px` });
  // Where what is chosen begins, as a share of the width, and the row that is shown.
  let begin = null;
  let shown = -1;

  const share = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const hide = () => {
    cursor.hidden = tip.hidden = chosen.hidden = true;
    begin = null;
    shown = -1;
  };
  hide();

  // A row, and what is chosen up to a place, which is the row's where nothing else is said.
  const look = (place, at = rows[place].x / 100) => {
    const row = rows[place];
    shown = place;
    cursor.hidden = tip.hidden = false;
    cursor.style.left = `${row.x}%`;
    show(tip, names, row);
    tip.style.left = row.x < 50 ? `calc(${row.x}% + 10px)` : "auto";
    tip.style.right = row.x < 50 ? "auto" : `calc(${100 - row.x}% + 10px)`;
    chosen.hidden = begin === null;
    if (begin === null) return;
    chosen.style.left = `${Math.min(begin, at) * 100}%`;
    chosen.style.width = `${Math.abs(at - begin) * 100}%`;
  };
  const choose = (end) => {
    if (begin !== null && Math.abs(end - begin) > 0.01) closer(chart, Math.min(begin, end), Math.max(begin, end));
    begin = null;
    chosen.hidden = true;
  };

  canvas.addEventListener("pointermove", (event) => {
    const at = share(event);
    const distance = (row) => Math.abs(row.x - at * 100);
    look(rows.reduce((best, row, place) => (distance(row) < distance(rows[best]) ? place : best), 0), at);
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (zooms && event.button === 0 && event.pointerType === "mouse") begin = share(event);
  });
  canvas.addEventListener("pointerup", (event) => choose(share(event)));
  canvas.addEventListener("pointerleave", hide);

  const last = rows.length - 1;
  const keys = {
    ArrowLeft: () => (shown < 0 ? last : Math.max(shown - 1, 0)),
    ArrowRight: () => Math.min(shown + 1, last),
    Home: () => 0,
    End: () => last,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    if (event.key === "Enter" && shown >= 0) return choose(rows[shown].x / 100);
    if (!(event.key in keys) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (!event.shiftKey || !zooms) begin = null;
    else if (shown >= 0) begin ??= rows[shown].x / 100;
    look(keys[event.key]());
  });
  canvas.addEventListener("blur", hide);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "group");
  canvas.setAttribute("aria-label", `${chart.getAttribute("aria-label")}: arrow keys tell its numbers`);
  tip.setAttribute("role", "status");
}

function add(canvas, name) {
  const part = document.createElement("div");
  part.className = name;
  canvas.append(part);
  return part;
}

function show(tip, names, row) {
  const time = document.createElement("b");
  time.textContent = row.time;
  const lines = names.map((name, place) => {
    const line = document.createElement("span");
    line.textContent = `${name} ${row.values[place]}`;
    return line;
  });
  tip.replaceChildren(time, ...lines);
}

// To the seconds that were chosen, in the same page.
function closer(chart, from, to) {
  const begins = Number(chart.dataset.from) / 1000;
  const ends = Number(chart.dataset.to) / 1000;
  const at = (share) => new Date(Math.round((begins + (ends - begins) * share) / 1000) * 1000).toISOString();
  const url = new URL(location.href);
  url.searchParams.delete("period");
  url.searchParams.set("from", at(from));
  url.searchParams.set("to", at(to));
  location.assign(url);
}
