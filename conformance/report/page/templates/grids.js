// Arrays as small grids of numbers.

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
