// The data, and how elements are made of it. Every text is set as text: nothing here reads markup.

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
