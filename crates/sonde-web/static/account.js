// A link's token stands behind `#`, which browsers send to nobody: it goes into the form, and stays out of the history.
const form = document.querySelector("form");

function take() {
  const token = location.hash.slice(1);
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.requestSubmit();
}

take();
addEventListener("hashchange", take);
