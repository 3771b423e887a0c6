// A link's token stands behind `#`, which browsers send to nobody: it goes into the form, and stays out of the history.
const form = document.querySelector("form");
const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.requestSubmit();
}
