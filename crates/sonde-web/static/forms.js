// Says what is wrong with what is typed, a moment after typing pauses: the server reads the form as if it were saved, and
// answers it with what it found. Nothing else of the page is touched.
const PAUSE = 400;

for (const form of document.querySelectorAll("form[data-check]")) watch(form);

function watch(form) {
  // What nobody wrote yet is not told to be missing.
  const touched = new Set([...form.querySelectorAll(".problem")].map((it) => it.closest(".field")));
  const said = form.appendChild(document.createElement("p"));
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  let timer = 0;
  let asking = new AbortController();
  let asked = "";

  const stop = () => {
    clearTimeout(timer);
    asking.abort();
  };
  async function check() {
    const typed = new URLSearchParams(new FormData(form));
    typed.set("do", "check");
    if (typed.toString() === asked) return;
    stop();
    asked = typed.toString();
    asking = new AbortController();
    const answer = await fetch(form.action, { method: "POST", body: typed, redirect: "manual", signal: asking.signal });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fields = [...form.querySelectorAll(".field")].filter((field) => touched.has(field) || isFilled(field));
    said.textContent = fields.map((field) => tell(field, fresh)).filter(Boolean).join(". ");
    const count = form.querySelector(".count");
    if (count) count.textContent = fresh.querySelector(".count")?.textContent ?? "No field is wrong any more.";
  }
  const now = () => check().catch(() => (asked = ""));

  form.addEventListener("input", ({ target }) => {
    touched.add(target.closest(".field"));
    clearTimeout(timer);
    timer = setTimeout(now, PAUSE);
  });
  form.addEventListener("change", now);
  form.addEventListener("submit", stop);
}

function controls(field) {
  return [...field.querySelectorAll("input, textarea, select")];
}

function isFilled(field) {
  return controls(field).some((it) => (it.type === "checkbox" ? it.checked : it.value.trim()));
}

// Puts what is wrong with a field beside it, and returns it where it is something new.
function tell(field, fresh) {
  const { name } = controls(field)[0];
  const same = fresh.querySelector(`[name="${CSS.escape(name)}"]`)?.closest(".field");
  const [before, after] = [field, same].map((it) => it?.querySelector(":scope > .problem") ?? null);
  if (!same || before?.textContent === after?.textContent) return "";
  before?.remove();
  if (after) field.querySelector(":scope > label, :scope > fieldset").after(after);
  const [own, other] = [field, same].map((it) => it.querySelector("fieldset, input, textarea, select"));
  for (const attribute of ["aria-describedby", "aria-invalid"]) {
    if (other.hasAttribute(attribute)) own.setAttribute(attribute, other.getAttribute(attribute));
    else own.removeAttribute(attribute);
  }
  if (!after) return "";
  const group = field.closest("details");
  if (group) group.open = true;
  const label = field.querySelector("legend, label").firstChild.textContent.trim();
  return `${label}: ${after.textContent.trim()}`;
}
