// On every page: the viewer's time zone, and forms that need no button.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const isChosen = document.cookie.split("; ").some((it) => it.startsWith("sonde_zone="));
if (zone && !isChosen) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `sonde_zone=${zone}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
  if (document.body.dataset.zone !== zone && document.cookie.includes(`sonde_zone=${zone}`)) location.reload();
}

for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", (event) => {
    if (!event.target.matches("input[type=search], input[type=datetime-local], input[inputmode]")) form.requestSubmit();
  });
}
