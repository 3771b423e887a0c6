// Runs in every page before its own scripts: looks at how it is laid out and where the focus goes, and answers what
// `soundness.rs` asks afterwards.
window.soundness = (() => {
  // Elements that are named of those that are wrong in the same way.
  const SHOWN = 3;

  let shifted = 0;
  const shifts = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifted += entry.value;
  });
  shifts.observe({ type: "layout-shift", buffered: true });

  // A page that loads itself anew would take away what is being looked at; axe-core tells of it.
  addEventListener("load", () => {
    if (document.querySelector("meta[http-equiv=refresh]")) stop();
  });

  function name(element) {
    const id = element.id ? `#${element.id}` : "";
    const classes = [...element.classList].map((it) => `.${it}`).join("");
    const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 30);
    return `<${element.localName}${id}${classes}>${text ? ` “${text}”` : ""}`;
  }

  const FOCUSABLE =
    "a[href], area[href], button, input, select, textarea, summary, iframe, audio[controls], video[controls], [contenteditable], [tabindex]";

  function isReached(element) {
    if (element.tabIndex < 0 || element.matches(":disabled, [type=hidden], [inert] *")) return false;
    if (element.type === "radio" && element.name) {
      const group = [...document.querySelectorAll(`input[type=radio][name="${CSS.escape(element.name)}"]`)];
      if (element !== (group.find((it) => it.checked) ?? group[0])) return false;
    }
    return element.checkVisibility({ visibilityProperty: true });
  }

  function appearance(element) {
    const style = getComputedStyle(element);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return [outline, style.boxShadow, style.borderColor, style.backgroundColor, style.textDecorationLine].join();
  }

  let expected = [];
  let before = new Map();
  let reached = [];
  const reach = ({ target }) => reached.push([target, appearance(target)]);

  return {
    shift: () => shifted,

    // Elements that stick out, where the page can be scrolled sideways.
    overflow() {
      const width = document.scrollingElement.scrollWidth;
      if (width <= innerWidth) return [];
      const out = [...document.querySelectorAll("body, body *")];
      const names = out.filter((it) => it.getBoundingClientRect().right > innerWidth + 0.5).map(name);
      return [`${width} px in ${innerWidth} px: ${names.slice(-SHOWN).join(", ")}`];
    },

    async axe(tags) {
      const { violations } = await axe.run(document, {
        runOnly: { type: "tag", values: tags },
        resultTypes: ["violations"],
      });
      const element = ({ target, html }) => `${target.flat().join(" ")} ${html.slice(0, 160)}`;
      return violations.map(({ id, help, nodes }) => {
        const more = nodes.length > SHOWN ? ` and ${nodes.length - SHOWN} more` : "";
        return [id, `${help}: ${nodes.slice(0, SHOWN).map(element).join(", ")}${more}`];
      });
    },

    // Has the next Tab go to the first of at most `limit` elements, and tells how many there are.
    beginFocus(limit) {
      expected = [...document.querySelectorAll(FOCUSABLE)].filter(isReached).slice(0, limit);
      document.activeElement?.blur();
      before = new Map(expected.map((it) => [it, appearance(it)]));
      reached = [];
      document.addEventListener("focusin", reach);
      const begin = document.documentElement;
      begin.tabIndex = -1;
      begin.focus();
      begin.removeAttribute("tabindex");
      reached = [];
      // A date has a stop for each of its parts, and one for its calendar.
      const more = expected.map(({ type }) => ({ date: 3, "datetime-local": 6 })[type] ?? 0);
      return more.reduce((sum, it) => sum + it, expected.length);
    },

    endFocus() {
      const order = reached.map(([element]) => element).filter((it) => before.has(it));
      const at = expected.findIndex((it, index) => it !== order[index]);
      const faults = [];
      if (at >= 0) {
        faults.push(`Tab reaches ${order[at] ? name(order[at]) : "nothing"} where ${name(expected[at])} comes next`);
      }
      for (const [element, appears] of reached) {
        if (before.get(element) === appears) faults.push(`nothing shows that ${name(element)} has the focus`);
      }
      return faults;
    },
  };
})();
