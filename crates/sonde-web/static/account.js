// Sends a form to the API, and says what was wrong with it.
const form = document.querySelector("form");
const problem = document.querySelector(".problem");
const refusal = new URLSearchParams(location.hash.slice(1)).get("error");
const token = refusal === null ? location.hash.slice(1) : "";
const path = { setup: "/v1/setup", session: "/v1/session", invitation: "/v1/invitations/accept" }[form.dataset.form];

// The token stays out of the history.
if (location.hash) history.replaceState(null, "", location.pathname);

function tell(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) {
    const problems = (answer.errors ?? []).map((error) => `${error.path}: ${error.message}`);
    throw new Error(problems.join("; ") || answer.detail);
  }
  return answer;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  tell("");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const fields = Object.fromEntries(new FormData(form));
    await post(path, form.dataset.form === "session" ? fields : { token, ...fields });
    location.assign("/");
  } catch (error) {
    tell(error.message);
    button.disabled = false;
  }
});

if (form.dataset.form !== "session" && !token) {
  tell("This page is opened by a link; this one lacks its token.");
}
if (form.dataset.form === "invitation" && token) {
  post("/v1/invitations/look", { token })
    .then((invited) => {
      const lead = document.querySelector(".lead");
      lead.textContent =
        `${invited.invited_by} invites ${invited.email} to the workspace ${invited.workspace} as ${invited.role}. ${lead.textContent}`;
    })
    .catch((error) => tell(error.message));
}
if (refusal) tell(refusal);

// Signing in elsewhere. A token goes in a body, which no server and no proxy writes down.
const elsewhere = document.querySelector(".elsewhere");
const link = elsewhere.querySelector("a");
if (form.dataset.form === "session" || token) {
  fetch("/v1/session/methods")
    .then((response) => response.json())
    .then(({ oidc }) => {
      if (!oidc) return;
      link.textContent = `Sign in with ${oidc.name}`;
      elsewhere.hidden = false;
    })
    .catch(() => {});
}
link.addEventListener("click", async (event) => {
  if (!token) return;
  event.preventDefault();
  tell("");
  try {
    const { location: provider } = await post(link.pathname, { token });
    location.assign(provider);
  } catch (error) {
    tell(error.message);
  }
});
