// Which view is shown, by the address; keys, and light and dark.

const title = document.title;
let overviewHash = "", returning = null, place0 = 0, afterwards = null;

/** Show the overview, with its filter, and then do something there. */
function toOverview(then) {
  if ($("view").hidden) then();
  else { afterwards = then; location.hash = overviewHash.slice(1); }
}
function toSection(id) {
  const section = $(id), head = section.querySelector("h2");
  section.scrollIntoView();
  head.tabIndex = -1;
  head.focus({ preventScroll: true });
}

function route() {
  const hash = location.hash.slice(1), params = new URLSearchParams(hash), view = params.get("view");
  const c = columnOf.get(params.get("backend")), r = rowOf.get(params.get("property"));
  let drawn = null;
  if (view === "verdict" && c !== undefined && r !== undefined && B[c].marks[r] !== " ") drawn = verdictView(c, r);
  else if (view === "backend" && c !== undefined) drawn = backendView(c);
  else if (view === "property" && r !== undefined) drawn = propertyView(r);
  const before = $("view").hidden;
  if (drawn) {
    if (before) { returning = document.activeElement; place0 = scrollY; }
    $("view").replaceChildren(...drawn[0].filter(Boolean));
    $("view").hidden = false;
    $("overview").hidden = true;
    document.title = `${drawn[1]} · LSTM conformance`;
    scrollTo(0, 0);
    $("view").querySelector("h1").focus({ preventScroll: true });
    return;
  }
  $("view").hidden = true;
  $("view").replaceChildren();
  $("overview").hidden = false;
  document.title = title;
  const section = hash && !hash.includes("=") ? $(hash) : null;
  if (view) history.replaceState(null, "", overviewHash || location.pathname + location.search);
  if (!section) {
    const wanted = view ? new URLSearchParams(overviewHash.slice(1)) : params;
    if (wanted.toString() !== filterParams().toString()) fill(wanted);
    overviewHash = view ? overviewHash : `#${hash}`;
  }
  filter();
  if (afterwards) { afterwards(); afterwards = null; }
  else if (section) section.scrollIntoView();
  else if (!before) {
    scrollTo(0, place0);
    if (returning && returning.isConnected) returning.focus({ preventScroll: true });
  } else if (hash) $("results").scrollIntoView();
}
addEventListener("hashchange", route);

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]"), section = event.target.closest(".top nav a, .skip");
  if (button) copy(button);
  if (section && !event.ctrlKey && !event.metaKey) {
    // The address keeps the filter.
    event.preventDefault();
    toOverview(() => toSection(section.hash.slice(1)));
  }
});
for (const kind of ["mouseover", "focusin"]) {
  document.addEventListener(kind, (event) => {
    const cell = event.target.closest(".cells td[data-told]");
    if (!cell) return;
    const section = cell.closest("section");
    let line = section.querySelector(".cell-told");
    if (!line) section.append(line = h("p", { class: "cell-told", role: "status" }));
    line.textContent = cell.dataset.told;
  });
}
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    toOverview(() => { $("q").focus(); $("q").select(); $("results").scrollIntoView(); });
  } else if (event.key === "Escape") {
    if (event.target === $("q") && $("q").value) { $("q").value = ""; changed(); }
    else if (!$("view").hidden) location.hash = overviewHash.slice(1);
    else if (typing) event.target.blur();
  }
});

// Light and dark

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
function scheme(value) { root.style.colorScheme = value; }
try { const kept = localStorage.getItem("lstm-conformance-scheme"); if (kept === "light" || kept === "dark") scheme(kept); } catch { /* a file may have no storage */ }
$("theme").addEventListener("click", () => {
  const now = root.style.colorScheme || (dark.matches ? "dark" : "light"), next = now === "dark" ? "light" : "dark";
  scheme(next);
  try { localStorage.setItem("lstm-conformance-scheme", next); } catch { /* the same */ }
});

route();
