// What the filter finds, in the table and in the list of failures.

const form = $("filter"), controls = { q: $("q"), backend: $("backend"), group: $("group") };
const boxes = [...form.elements.outcome ? (form.elements.outcome.length ? form.elements.outcome : [form.elements.outcome]) : []];
const MOST = 100;
let everything = false, found = [];

function filterParams() {
  const params = new URLSearchParams();
  for (const [name, control] of Object.entries(controls)) if (control.value.trim()) params.set(name, control.value.trim());
  const chosen = boxes.filter((box) => box.checked).map((box) => MARKS[box.value].words);
  if (chosen.length) params.set("outcome", chosen.join(","));
  return params;
}
function fill(params) {
  for (const [name, control] of Object.entries(controls)) control.value = params.get(name) || "";
  const chosen = (params.get("outcome") || "").split(",");
  for (const box of boxes) box.checked = chosen.includes(MARKS[box.value].words);
}

function filter() {
  const words = controls.q.value.toLowerCase().split(/\s+/).filter(Boolean), keys = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const column = controls.backend.value ? columnOf.get(controls.backend.value) : -1, group = controls.group.value;
  const active = Boolean(words.length || keys.size || column >= 0 || group);
  const rowText = P.map((p) => `${p.id} ${p.statement}`.toLowerCase()), columnText = B.map((b) => `${b.key} ${b.standing}`.toLowerCase());
  const hits = words.map((word) => [rowText.map((text) => text.includes(word)), columnText.map((text) => text.includes(word)), lower.map((text) => text.includes(word))]);
  const rowAny = P.map(() => false), columnAny = B.map(() => false);
  let count = 0, total = 0;
  found = [];
  for (let r = 0; r < P.length; r++) {
    for (let c = 0; c < B.length; c++) {
      const key = B[c].marks[r];
      if (key === " ") continue;
      total++;
      const holds = (column < 0 || c === column) && (!group || P[r].group === group) && (!keys.size || keys.has(key)) &&
        hits.every(([rows, columns, texts]) => rows[r] || columns[c] || texts[B[c].messages[r]]);
      lines[r].cells[c + 1].classList.toggle("dim", active && !holds);
      if (!holds) continue;
      count++;
      rowAny[r] = columnAny[c] = true;
      if (MARKS[key].good === false || (keys.size && B[c].details[r])) found.push([c, r]);
    }
  }
  lines.forEach((line, r) => { line.hidden = active && !rowAny[r]; });
  for (const body of bodies) {
    const any = [...body.rows].some((line) => line.classList.contains("row") && !line.hidden);
    body.hidden = !any;
    if (active && any && body.classList.contains("closed")) opened(body, true);
  }
  hidden.clear();
  if (active) columnAny.forEach((any, c) => { if (!any && count) hidden.add(c); });
  hiding.textContent = [...hidden].map((c) => `#matrix tr > :nth-child(${c + 2})`).join(",") + (hidden.size ? "{display:none}" : "");
  const rows = rowAny.filter(Boolean).length, columns = columnAny.filter(Boolean).length;
  $("matches").textContent = active ? `${count} of ${plural(total, "result", "results")} ${count === 1 ? "matches" : "match"}${count ? `, of ${plural(rows, "property", "properties")} and ${plural(columns, "backend", "backends")}` : ""}` : plural(total, "result", "results");
  $("clear").hidden = !active;
  found.sort(([c, r], [d, s]) => c - d || r - s);
  everything = false;
  list();
}

function list() {
  const all = $("list");
  if (!all) return;
  const shown = everything ? found : found.slice(0, MOST);
  all.replaceChildren(...shown.map(([c, r]) => {
    const detail = B[c].details[r] || {}, words = message(c, r).split("\n")[0];
    return h("li", null, h("a", { href: toVerdict(c, r) }, markOf(B[c].marks[r]), h("span", { class: "sr" }, MARKS[B[c].marks[r]].words), h("span", { class: "what" }, h("strong", null, P[r].id), h("bdi", { class: "muted" }, B[c].key)),
      h("span", { class: "how" }, h("code", null, words.length > 150 ? `${words.slice(0, 150)}…` : words), detail.smallest ? h("span", { class: "muted" }, detail.smallest) : null)));
  }));
  $("failure-count").textContent = String(found.length);
  $("more").hidden = shown.length === found.length;
  $("more").textContent = `Show all ${found.length}`;
}

function changed() {
  const params = filterParams().toString();
  history.replaceState(null, "", params ? `#${params}` : `${location.pathname}${location.search}`);
  overviewHash = params ? `#${params}` : "#";
  filter();
}
form.addEventListener("input", changed);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(changed));
$("expand").addEventListener("click", () => { const open = bodies.some((body) => body.classList.contains("closed")); bodies.forEach((body) => opened(body, open)); });
$("margins").addEventListener("click", () => { if (!margins) bodies.forEach((body) => opened(body, true)); showMargins(!margins); });
if ($("more")) $("more").addEventListener("click", () => { everything = true; list(); });
