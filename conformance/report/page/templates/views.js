// A failure, a backend, a property: each drawn when somebody asks for it.

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
