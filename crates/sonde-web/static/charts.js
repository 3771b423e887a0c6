// A line under the pointer with the numbers of that moment, and a drag that looks closer. Numbers are those of the table
// below each chart; without this script they are read there.
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
  let begin = null;

  const share = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const hide = () => {
    cursor.hidden = tip.hidden = chosen.hidden = true;
    begin = null;
  };
  hide();

  canvas.addEventListener("pointermove", (event) => {
    const at = share(event);
    const nearest = rows.reduce((a, b) => (Math.abs(b.x - at * 100) < Math.abs(a.x - at * 100) ? b : a));
    cursor.hidden = tip.hidden = false;
    cursor.style.left = `${nearest.x}%`;
    show(tip, names, nearest);
    tip.style.left = nearest.x < 50 ? `calc(${nearest.x}% + 10px)` : "auto";
    tip.style.right = nearest.x < 50 ? "auto" : `calc(${100 - nearest.x}% + 10px)`;
    if (begin !== null) {
      chosen.hidden = false;
      chosen.style.left = `${Math.min(begin, at) * 100}%`;
      chosen.style.width = `${Math.abs(at - begin) * 100}%`;
    }
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (zooms && event.button === 0 && event.pointerType === "mouse") begin = share(event);
  });
  canvas.addEventListener("pointerup", (event) => {
    const end = share(event);
    if (begin !== null && Math.abs(end - begin) > 0.01) closer(chart, Math.min(begin, end), Math.max(begin, end));
    begin = null;
    chosen.hidden = true;
  });
  canvas.addEventListener("pointerleave", hide);
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
