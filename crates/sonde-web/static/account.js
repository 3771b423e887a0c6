// Sends a form to the API, and says what was wrong with it.
const form = document.querySelector("form");
const problem = document.querySelector(".problem");
const token = location.hash.slice(1);
const path = { setup: "/v1/setup", session: "/v1/session", invitation: "/v1/invitations/accept" }[form.dataset.form];

// The token stays out of the history.
if (token) history.replaceState(null, "", location.pathname);

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
