"use strict";
// Draws what a person asks for from the data in the file. Every text is set as text: nothing here reads markup.
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const P = D.properties, B = D.backends, MARKS = D.marks;
  const rowOf = new Map(P.map((p, r) => [p.id, r])), columnOf = new Map(B.map((b, c) => [b.key, c]));
  const lower = D.texts.map((text) => text.toLowerCase());
  const message = (c, r) => D.texts[B[c].messages[r]];
  const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

  // Elements

  function h(tag, props, ...kids) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(props || {})) {
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false));
    return made;
  }
  const link = (params) => `#${new URLSearchParams(params)}`;
  const toVerdict = (c, r) => link({ view: "verdict", backend: B[c].key, property: P[r].id });
  const toBackend = (c) => link({ view: "backend", backend: B[c].key });
  const toProperty = (r) => link({ view: "property", property: P[r].id });
  const markOf = (key) => h("b", { class: `mark ${key}`, "aria-hidden": "true" }, MARKS[key].sign);
  const outcome = (key) => h("span", { class: "outcome" }, markOf(key), MARKS[key].words);
  const standing = (b) => h("span", { class: `standing ${b.standing.replace(" ", "-")}` }, b.standing);

  /** A text whose web addresses are links: of no other scheme. */
  function linked(text) {
    return text.split(/(https?:\/\/[^\s<>"')\]]+[^\s<>"')\].,;:])/).map((part, k) =>
      k % 2 ? h("a", { href: part, rel: "noopener noreferrer" }, part) : part);
  }

  function code(text, label) {
    const button = h("button", { type: "button", class: "copy", "data-copy": "", "aria-label": `Copy ${label}` }, "copy");
    return h("div", { class: "code" }, h("pre", { tabindex: "0" }, h("code", null, text)), button);
  }

  async function copy(button) {
    const text = button.parentElement.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = h("textarea", { class: "sr", readonly: "" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "copied";
    button.classList.add("done");
    setTimeout(() => { button.textContent = "copy"; button.classList.remove("done"); }, 1600);
  }

  // Numbers and grids

  const number = (text) => Number(text.replace("inf", "Infinity").replace("nan", "NaN"));
  function short(value, digits = 3) {
    if (Number.isNaN(value)) return "NaN";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (value === 0) return "0";
    const size = Math.abs(value);
    const text = size >= 1e5 || size < 1e-3 ? value.toExponential(Math.max(0, digits - 2)) : String(Number(value.toPrecision(digits)));
    return text.replace(/-/g, "−").replace("e+", "e");
  }
  /** Two numbers with as many digits as tell them apart. */
  function apart(a, b) {
    for (let digits = 3; digits < 10; digits++) {
      if (short(a, digits) !== short(b, digits)) return digits;
    }
    return 3;
  }

  /** A tensor as small grids: one for each index of its first axes. `cell(index)` gives text, value, class and words. */
  function grid(axes, cell, most, heads) {
    const lead = axes.slice(0, -2), rows = axes.length > 1 ? axes[axes.length - 2] : [null], columns = axes.length ? axes[axes.length - 1] : [null];
    let slices = [[]];
    for (const axis of lead) slices = slices.flatMap((slice) => axis.map((k) => [...slice, k]));
    return slices.map((slice) => {
      const table = h("table", { class: "cells", role: "grid" });
      if (slice.length) table.append(h("caption", null, `[${slice.join(", ")}]`));
      if (columns.length > 1 || rows.length > 1) {
        table.append(h("thead", null, h("tr", null, rows[0] === null ? null : h("td", { class: "head" }), columns.map((k) => h("th", { scope: "col" }, k === null ? "" : String(k))))));
      }
      const body = h("tbody");
      for (const row of rows) {
        const line = h("tr");
        if (row !== null && (columns.length > 1 || rows.length > 1)) line.append(h("th", { scope: "row" }, heads ? heads(row) : String(row)));
        for (const column of columns) {
          const index = [...slice, ...(row === null ? [] : [row]), ...(column === null ? [] : [column])];
          const told = cell(index);
          const made = h("td", { tabindex: "-1" });
          if (told) {
            made.textContent = told.text;
            made.className = `${told.value < 0 ? "neg" : "pos"} ${told.mark || ""}`.trim();
            made.dataset.told = told.words;
            if (Number.isFinite(told.value) && most > 0) made.style.setProperty("--k", `${(46 * Math.pow(Math.abs(told.value) / most, 0.7)).toFixed(0)}%`);
            else if (!Number.isFinite(told.value)) made.classList.add("odd");
          }
          line.append(made);
        }
        body.append(line);
      }
      table.append(body);
      const first = table.querySelector("tbody td");
      if (first) first.tabIndex = 0;
      return table;
    });
  }
  const range = (n) => Array.from({ length: n }, (_, k) => k);
  const signed = (values) => Math.max(0, ...values.filter(Number.isFinite).map(Math.abs));

  function tensor([name, dtype, shape, , values]) {
    const numbers = values.map(number), size = signed(numbers), gates = /^(weight_[ih]h|bias_)/.test(name) ? shape[0] / 4 : 0;
    const gate = (row) => ("ifgo"[Math.floor(row / gates)] || "") + (gates > 1 ? String(row % gates) : "");
    const upright = gates && shape.length === 1;
    const at = (index) => index.reduce((sum, k, axis) => sum * shape[axis] + k, 0);
    const cell = (index) => {
      const own = upright ? [index[0]] : index, k = at(own);
      return { text: short(numbers[k]), value: numbers[k], words: `${name}[${own.join(", ")}] = ${values[k]}${gates ? `, gate ${gate(own[0])}` : ""}` };
    };
    const axes = upright ? [range(shape[0]), [0]] : shape.map(range);
    return h("div", { class: "tensor" }, h("h3", null, name, h("small", null, ` (${shape.join(", ")}) ${dtype}`)),
      h("div", { class: "slices" }, grid(axes, cell, size, gates ? gate : null)));
  }

  function given(tensors) {
    const drawn = tensors.filter((one) => one[4]), zero = tensors.filter((one) => !one[3]), large = tensors.filter((one) => one[3] && !one[4]);
    const named = (list) => list.map((one) => `${one[0]} (${one[2].join(", ")})`).join(", ");
    return [
      h("div", { class: "tensors" }, drawn.map(tensor)),
      zero.length ? h("p", { class: "muted" }, h("strong", null, "zero "), named(zero)) : null,
      large.length ? h("p", { class: "muted" }, h("strong", null, "shapes "), named(large)) : null,
    ];
  }

  const times = (share) => (share === "inf" ? "∞" : share === "nan" ? "NaN" : short(number(share)));

  function compared([name, count, wrong, elements]) {
    const first = elements.find((one) => one[4]);
    const head = h("h3", null, name, h("small", null, wrong ? ` ${wrong} of ${count} wrong` : ` all ${count} right`));
    const words = ([index, expected, actual, share]) => `${name}[${index.join(", ")}] expected ${expected} got ${actual}, ${times(share)} × bound`;
    const state = (one) => (one === first ? "wrong first" : one[4] ? "wrong" : "");
    if (elements.length < count || elements[0]?.[0].length > 3) {
      const rows = elements.map((one) => h("tr", { class: state(one) }, h("th", { scope: "row" }, `[${one[0].join(", ")}]`),
        h("td", { class: "num" }, one[1]), h("td", { class: "num" }, one[2]), h("td", { class: "num" }, times(one[3])), h("td", null, one === first ? "first wrong" : one[4] ? "wrong" : "")));
      return h("div", { class: "compared" }, head, h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": name }, h("table", { class: "plain elements" },
        h("thead", null, h("tr", null, ["index", "expected", "got", "error ÷ bound", ""].map((text, k) => h("th", { scope: "col", class: k && k < 4 ? "num" : "" }, text)))),
        h("tbody", null, rows))), elements.length < count ? h("p", { class: "muted" }, `${count - elements.length} more`) : null);
    }
    const found = new Map(elements.map((one) => [one[0].join(), one]));
    const axes = elements[0][0].map((_, axis) => [...new Set(elements.map((one) => one[0][axis]))].sort((a, b) => a - b));
    const size = signed(elements.flatMap((one) => [number(one[1]), number(one[2])]));
    const side = (title, pick, most, shade) => h("div", { class: "side" }, h("h4", null, title), h("div", { class: "slices" }, grid(axes, (index) => {
      const one = found.get(index.join());
      return one && { ...pick(one), mark: shade(one), words: words(one) };
    }, most)));
    const value = (k) => (one) => ({ value: number(one[k]), text: short(number(one[k]), one[4] ? apart(number(one[1]), number(one[2])) : 3) });
    return h("div", { class: "compared" }, head, h("div", { class: "sides" },
      side("expected", value(1), size, (one) => (one === first ? "here" : "")),
      side("got", value(2), size, state),
      side("error ÷ bound", (one) => ({ value: 0, text: times(one[3]) }), 0, (one) => `shade ${state(one)}`)),
    first ? h("p", { class: "first-wrong" }, h("span", { class: "pin", "aria-hidden": "true" }), `first wrong: ${words(first)}`) : null);
  }

  // Views

  function crumbs(...parts) {
    return h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: overviewHash || "#", "data-back": "" }, "← All results"), parts.map((part) => [" / ", part]));
  }
  const bdi = (text) => h("bdi", null, text);
  const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([word, value]) => h("div", null, h("dt", null, word), h("dd", null, linked(value)))));

  function verdictView(c, r) {
    const b = B[c], p = P[r], key = b.marks[r], detail = b.details[r] || {}, told = message(c, r), shown = detail.evidence;
    const [line, ...rest] = told.split("\n");
    const parts = [
      crumbs(h("a", { href: toBackend(c) }, bdi(b.key)), h("a", { href: toProperty(r) }, p.id)),
      h("h1", { tabindex: "-1" }, p.id, " ", key.trim() ? outcome(key) : null),
      h("p", { class: "lead" }, p.statement),
    ];
    if (detail.numbers) {
      const n = detail.numbers;
      const tile = (word, value, kind) => h("div", { class: `tile ${kind || ""}` }, h("dt", null, word), h("dd", null, value));
      parts.push(h("dl", { class: "tiles" }, tile("element", n.at), tile("expected", n.expected), tile("got", n.actual, "bad"), tile("bound", n.bound),
        tile("error ÷ bound", `${times(n.share)} ×`, "bad")));
    }
    if (told) parts.push(h("section", { class: detail.numbers ? "under" : "" }, detail.numbers ? null : h("h2", null, "Result"), h("p", { class: "result" }, linked(line)), rest.length ? h("pre", { tabindex: "0" }, rest.join("\n")) : null,
      detail.scope ? h("p", null, detail.scope) : null,
      detail.worst ? h("p", { class: "muted" }, `worst: ${detail.worst} times its bound, among all cases seen`) : null));
    else parts.push(h("p", { class: "muted" }, passedWords(c, r)));
    if (detail.cause !== undefined) {
      const cause = document.querySelector(`[data-causes="${CSS.escape(b.key)}"]`).querySelectorAll(".cause")[detail.cause].cloneNode(true);
      cause.querySelectorAll("dl > div").forEach((row) => { if (["smallest", "explains"].includes(row.querySelector("dt").textContent)) row.remove(); });
      parts.push(h("section", null, h("h2", null, "Cause"), cause));
    }
    if (detail.smallest || shown) {
      parts.push(h("section", null, h("h2", null, "Smallest case"), h("p", { class: "case" }, detail.smallest || shown.call),
        detail.config ? h("ul", { class: "config" }, detail.config.map(([word, value]) => h("li", null, h("span", null, word), ` ${value}`))) : null,
        shown && shown.call !== detail.smallest ? h("p", null, h("strong", null, "the call that failed: "), shown.call) : null,
        shown ? given(shown.given) : h("p", { class: "muted" }, "Its arrays were not kept; the replay shows them.")));
    }
    if (shown && shown.compared.length) parts.push(h("section", null, h("h2", null, "Expected and got"), shown.compared.map(compared)));
    if (shown && shown.traceback) parts.push(h("section", null, h("h2", null, "Traceback"), h("pre", { tabindex: "0", class: "long" }, shown.traceback)));
    if (detail.replay) {
      parts.push(h("section", null, h("h2", null, "Run it again"), h("p", null, "Show it with its numbers:"), code(detail.replay, "the replay line"),
        h("p", null, "Write it as a script that needs NumPy and the implementation only:"), code(detail.write, "the line that writes a reproduction"),
        detail.history ? h("details", null, h("summary", null, `after ${plural(detail.history.length, "earlier case", "earlier cases")}`), h("pre", { tabindex: "0" }, detail.history.join("\n"))) : null));
    }
    if (p.why) parts.push(h("section", null, h("h2", null, "Why it matters"), h("p", null, linked(p.why))));
    return [parts, `${p.id} · ${b.key}`];
  }

  function passedWords(c, r) {
    const margin = B[c].margins[r];
    return `${plural(B[c].cases[r], "case", "cases")} passed${margin === null ? "" : `, margin ${margin}`}`;
  }

  function marginBar(margin) {
    if (margin === null) return h("td", { class: "num muted" }, "–");
    const value = Number(margin);
    return h("td", { class: `num${value > 1 ? " bad" : ""}` }, h("span", { class: "gauge", "aria-hidden": "true" }, h("i", { style: `width:${Math.min(100, 100 * value).toFixed(0)}%` })), margin);
  }

  function results(pairs, named) {
    const row = ([c, r]) => {
      const key = B[c].marks[r], words = message(c, r).split("\n")[0];
      return h("tr", null, h("th", { scope: "row" }, named(c, r)), h("td", null, h("a", { class: "outcome", href: toVerdict(c, r) }, markOf(key), MARKS[key].words)),
        marginBar(B[c].margins[r]), h("td", { class: "num" }, String(B[c].cases[r])), h("td", { class: "message" }, bdi(words.length > 160 ? `${words.slice(0, 160)}…` : words)));
    };
    return h("div", { class: "scroll framed", tabindex: "0", role: "group", "aria-label": "Results" }, h("table", { class: "plain results" }, h("thead", null, h("tr", null,
      ["", "outcome", "margin", "cases", "message"].map((text, k) => h(k ? "th" : "td", { scope: k ? "col" : null, class: k === 2 || k === 3 ? "num" : "" }, text)))), h("tbody", null, pairs.map(row))));
  }

  function coverage(choices) {
    const names = Object.keys(choices);
    if (!names.length) return null;
    return h("section", null, h("h2", null, "Coverage of the choices"), h("p", { class: "muted" }, "How many judged cases had each value."),
      h("table", { class: "plain choices" }, h("tbody", null, names.map((name) => {
        const values = Object.entries(choices[name]), most = Math.max(1, ...values.map(([, n]) => n));
        return h("tr", null, h("th", { scope: "row" }, name), h("td", null, h("ul", null, values.map(([value, n]) =>
          h("li", { class: n ? "" : "none" }, h("span", { class: "gauge", "aria-hidden": "true" }, h("i", { style: `width:${(100 * n / most).toFixed(0)}%` })), h("span", null, value), h("b", null, n ? String(n) : "none"))))));
      }))));
  }

  function backendView(c) {
    const b = B[c], parts = [crumbs(bdi(b.key)), h("h1", { tabindex: "-1" }, bdi(b.key)), h("p", { class: "lead" }, standing(b), " ", linked(b.sentence))];
    const level = b.level ? [["level", b.level]] : [];
    parts.push(facts([...level, ...(b.target !== b.key ? [["target", b.target]] : []), ...b.facts]));
    const caused = document.querySelector(`#causes [data-causes="${CSS.escape(b.key)}"]`);
    if (caused) {
      const copied = [...caused.querySelectorAll(".cause, .remark")].map((one) => one.cloneNode(true));
      parts.push(h("section", null, h("h2", null, "What is wrong"), copied));
    }
    const all = range(P.length).filter((r) => b.marks[r] !== " ").map((r) => [c, r]);
    const bad = all.filter(([, r]) => MARKS[b.marks[r]].good === false || b.marks[r] === "g");
    if (bad.length) parts.push(h("section", null, h("h2", null, "Failures ", h("small", { class: "count" }, String(bad.length))), results(bad, (_, r) => h("a", { href: toProperty(r) }, P[r].id))));
    parts.push(coverage(b.choices));
    const plots = document.querySelector(`template[data-plots="${CSS.escape(b.key)}"]`);
    if (plots) parts.push(h("section", null, h("h2", null, "Plots"), h("div", { class: "figures" }, plots.content.cloneNode(true))));
    parts.push(h("section", null, h("h2", null, "All properties ", h("small", { class: "count" }, String(all.length))), results(all, (_, r) => h("a", { href: toProperty(r) }, P[r].id))));
    return [parts, b.key];
  }

  function propertyView(r) {
    const p = P[r], pairs = range(B.length).filter((c) => B[c].marks[r] !== " ").map((c) => [c, r]);
    return [[crumbs(h("a", { href: link({ group: p.group }) }, p.group), p.id), h("h1", { tabindex: "-1" }, p.id), h("p", { class: "lead" }, p.statement),
      facts([["group", p.group], ["question", p.question], ...(p.level ? [["level", p.level]] : []), ["needs", p.needs.join(", ") || "nothing beside the plainest call"]]),
      p.why ? h("section", null, h("h2", null, "Why it matters"), h("p", null, linked(p.why))) : null,
      h("section", null, h("h2", null, "Backends"), results(pairs, (c) => h("a", { href: toBackend(c) }, bdi(B[c].key)))),
    ], p.id];
  }

  // The matrix

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
        cell.textContent = key === " " ? "" : on && margin !== null ? (Number(margin) >= 100 ? Number(margin).toExponential(0).replace("e+", "e") : Number(margin).toFixed(2).replace(/^0/, "")) : on && key === "p" ? "" : MARKS[key].sign;
        if (on && margin !== null) cell.style.setProperty("--k", `${Math.min(60, 60 * Number(margin)).toFixed(0)}%`);
        cell.classList.toggle("measured", on && margin !== null && Number(margin) <= 1);
      }
    });
  }

  // The filter

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

  // Which view, by the address

  const title = document.title;
  let overviewHash = "", returning = null, place0 = 0;

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
    if (section) section.scrollIntoView();
    else if (!before) {
      scrollTo(0, place0);
      if (returning && returning.isConnected) returning.focus({ preventScroll: true });
    } else if (hash) $("results").scrollIntoView();
  }
  addEventListener("hashchange", route);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
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
      if (!$("view").hidden) location.hash = overviewHash.slice(1);
      setTimeout(() => { $("q").focus(); $("q").select(); $("results").scrollIntoView(); });
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
})();
