// Elements of a page and text for them, shared by the interactive figures.

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== false && value != null) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function choice(spec, id) {
  const key = `${id}-${spec.name}`;
  const select = h("select", { id: key }, ...spec.texts.map((text, i) => h("option", { value: i }, text)));
  const node = h("div", { class: "dc-control dc-choice" }, h("div", { class: "dc-label-row" }, h("label", { for: key }, spec.label)), h("div", { class: "dc-row" }, select));
  return {
    name: spec.name, node, stop: () => {}, show: (i) => { if (+select.value !== i) select.value = i; },
    onMove: (f) => select.addEventListener("change", () => f(+select.value)),
  };
}

const fill = (template, words) => (template || "").replace(/\{([\p{L}\p{N}_]+)\}/gu, (all, name) => words[name] ?? all);
const n = (v) => Math.round(v * 100) / 100;
const esc = (s) => String(s).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
