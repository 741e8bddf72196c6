// The table of results, and the arrow keys in it and in grids.

const matrix = $("matrix"), bodies = [...matrix.tBodies], lines = [];
for (const body of bodies) for (const line of body.rows) if (line.classList.contains("row")) lines.push(line);
const hiding = document.head.appendChild(h("style"));
const hidden = new Set();
const readout = h("p", { class: "readout", "aria-hidden": "true" }, "\u00a0");
$("scroll").after(readout);

function opened(body, open) {
  body.classList.toggle("closed", !open);
  body.querySelector("button").setAttribute("aria-expanded", String(open));
  const all = bodies.every((one) => !one.classList.contains("closed"));
  $("expand").textContent = all ? "Collapse all" : "Expand all";
  $("expand").setAttribute("aria-expanded", String(all));
}

const place = (cell) => {
  const line = cell.parentElement, r = lines.indexOf(line);
  return { c: cell.cellIndex - 1, r, body: line.parentElement };
};
function openCell(cell) {
  const { c, r, body } = place(cell);
  if (r < 0) opened(body, body.classList.contains("closed"));
  else if (B[c].marks[r] !== " ") location.hash = toVerdict(c, r).slice(1);
}
function say(cell) {
  const { c, r } = place(cell);
  if (c < 0) readout.textContent = r < 0 ? "\u00a0" : P[r].statement;
  else if (r >= 0) {
    const key = B[c].marks[r], words = message(c, r).split("\n")[0] || (key === "p" ? passedWords(c, r) : "");
    readout.textContent = key === " " ? "\u00a0" : `${P[r].id} · ${B[c].key}: ${MARKS[key].words}${words ? `. ${words}` : ""}`;
  }
}
matrix.addEventListener("click", (event) => {
  const button = event.target.closest("button"), cell = event.target.closest("tbody td");
  if (button) opened(button.closest("tbody"), button.getAttribute("aria-expanded") === "false");
  else if (cell) openCell(cell);
});
for (const kind of ["mouseover", "focusin"]) {
  matrix.addEventListener(kind, (event) => { const cell = event.target.closest("tbody td, tbody th"); if (cell) say(cell); });
}

/** Arrow keys move in a grid: one cell of it is in the order of Tab. */
const target = (cell) => (cell.tagName === "TH" ? cell.querySelector("a, button") || cell : cell);
function arrows(event) {
  const table = event.target.closest('table[role="grid"]'), cell = event.target.closest("td, th");
  if (!table || !cell || event.altKey || event.metaKey) return;
  const seen = (one) => one.offsetParent !== null || one.getClientRects().length > 0;
  const rows = [...table.rows].filter(seen), columns = (row) => [...row.cells].filter(seen);
  let y = rows.indexOf(cell.parentElement);
  let x = columns(rows[y]).indexOf(cell);
  const page = 10;
  switch (event.key) {
    case "ArrowUp": y -= 1; break;
    case "ArrowDown": y += 1; break;
    case "ArrowLeft": x -= 1; break;
    case "ArrowRight": x += 1; break;
    case "PageUp": y -= page; break;
    case "PageDown": y += page; break;
    case "Home": x = 0; if (event.ctrlKey) y = 0; break;
    case "End": x = 1e6; if (event.ctrlKey) y = 1e6; break;
    case "Enter": case " ":
      if (table === matrix && cell.tagName === "TD") { event.preventDefault(); openCell(cell); }
      return;
    default: return;
  }
  event.preventDefault();
  const row = rows[Math.max(0, Math.min(rows.length - 1, y))], cells = columns(row);
  const next = target(cells[Math.max(0, Math.min(cells.length - 1, x))]);
  table.querySelectorAll('[tabindex="0"]').forEach((one) => { one.tabIndex = -1; });
  next.tabIndex = 0;
  next.focus();
}
document.addEventListener("keydown", arrows);
const start = matrix.querySelector("tbody button");
if (start) start.tabIndex = 0;

let margins = false;
function showMargins(on) {
  margins = on;
  $("margins").setAttribute("aria-pressed", String(on));
  matrix.classList.toggle("margins", on);
  lines.forEach((line, r) => {
    for (let c = 0; c < B.length; c++) {
      const cell = line.cells[c + 1], key = B[c].marks[r], margin = B[c].margins[r];
      cell.textContent = key === " " ? "" : on && margin !== null ? (Number(margin) >= 100 ? Number(margin).toExponential(0).replace("e+", "e") : Number(margin) >= 10 ? Number(margin).toFixed(0) : Number(margin).toFixed(2).replace(/^0/, "")) : on && key === "p" ? "" : MARKS[key].sign;
      if (on && margin !== null) cell.style.setProperty("--k", `${Math.min(60, 60 * Number(margin)).toFixed(0)}%`);
      if (key !== " ") cell.setAttribute("aria-label", MARKS[key].words + (on && margin !== null ? `, margin ${margin}` : ""));
      cell.classList.toggle("measured", on && margin !== null && Number(margin) <= 1);
    }
  });
}
