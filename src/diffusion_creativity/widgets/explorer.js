// The interactive figure of the book: controls, one picture of one or more panels, a caption.
// It needs nothing but the browser. A frame, {panels: {name: [marks]}, alt, caption}, is either
// looked up among stored states or computed by a small formula module on every move.
let serial = 0;

export default { render };

async function render({ model, el }) {
  const scene = model.get("scene");
  const arrays = await unpack(model.get("blob"), scene);
  const compute = scene.states ? lookUp(scene, arrays) : await closedForm(model.get("source"), scene, arrays);
  const ui = build(scene, `dc-${++serial}-${Math.random().toString(36).slice(2, 8)}`);
  el.replaceChildren(ui.root);

  let pending = 0, speak = 0;
  const position = () => ({ ...scene.start, ...model.get("position") });
  const draw = () => {
    pending = 0;
    const at = position();
    for (const c of ui.controls) c.show(at[c.name]);
    let frame;
    try {
      frame = compute(at);
    } catch (error) {
      frame = failed(error);
    }
    const words = Object.fromEntries(scene.controls.map((c) => [c.name, c.texts[at[c.name]]]));
    ui.picture.setAttribute("aria-label", frame.alt || fill(scene.alt, words));
    try {
      for (const p of ui.panels) drawPanel(p, frame.panels[p.name] || [], ui.root);
    } catch (error) {
      frame = failed(error);
    }
    clearTimeout(speak); // a screen reader hears where the slider stopped, not every step
    speak = setTimeout(() => { ui.caption.textContent = frame.caption || fill(scene.caption, words); }, ui.caption.textContent ? 120 : 0);
  };
  const schedule = () => { if (!pending) pending = requestAnimationFrame(draw); };
  const move = (change) => {
    model.set("position", { ...position(), ...change });
    model.save_changes();
    schedule();
  };
  for (const c of ui.controls) c.onMove((index) => move({ [c.name]: index }));
  for (const p of ui.panels) if (p.spec.drag) followPointer(p, scene.controls, move);

  model.on("change:position", schedule);
  const sizes = new ResizeObserver(schedule);
  sizes.observe(ui.picture);
  const theme = new MutationObserver(schedule); // canvases do not follow CSS variables by themselves
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributes: true });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", schedule);
  draw();
  return () => {
    model.off("change:position", schedule);
    sizes.disconnect();
    theme.disconnect();
    system.removeEventListener("change", schedule);
    cancelAnimationFrame(pending);
    clearTimeout(speak);
    for (const c of ui.controls) c.stop();
  };
}

function failed(error) {
  console.error("Explorer:", error);
  return { panels: {}, caption: `This figure could not be drawn: ${error.message}` };
}

const fill = (template, words) => (template || "").replace(/\{([\p{L}\p{N}_]+)\}/gu, (all, name) => words[name] ?? all);

// ---------------------------------------------------------------- frames

async function unpack(view, scene) {
  let bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (scene.deflated) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  const cache = new Map();
  return (i) => {
    if (!cache.has(i)) cache.set(i, decode(bytes, scene.arrays[i]));
    return cache.get(i);
  };
}

// One array of the blob: flat for one axis, a list of rows for two, {data, shape} for more.
function decode(bytes, [offset, type, shape, low, step]) {
  const Typed = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array, f8: Float64Array }[type];
  const size = shape.reduce((a, b) => a * b, 1);
  let flat = new Typed(bytes.slice(offset, offset + size * Typed.BYTES_PER_ELEMENT).buffer);
  if (step !== null) flat = Float32Array.from(flat, (v) => low + step * v);
  if (shape.length < 2) return flat;
  if (shape.length > 2) return { data: flat, shape };
  return Array.from({ length: shape[0] }, (_, i) => flat.subarray(i * shape[1], (i + 1) * shape[1]));
}

function resolve(value, arrays) {
  if (Array.isArray(value)) return value.map((v) => resolve(v, arrays));
  if (!value || typeof value !== "object") return value;
  if ("$" in value) return arrays(value.$);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, arrays)]));
}

function lookUp(scene, arrays) {
  return (at) => {
    const state = scene.states[scene.controls.reduce((n, c) => n * c.texts.length + at[c.name], 0)];
    const panels = {};
    for (const [name, marks] of Object.entries(state.panels)) panels[name] = marks.map((i) => resolve(scene.marks[i], arrays));
    return { panels, alt: state.alt, caption: state.caption };
  };
}

async function closedForm(source, scene, arrays) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: formula } = await import(/* @vite-ignore */ url);
  URL.revokeObjectURL(url);
  const data = resolve(scene.data, arrays);
  return (at) => {
    const { alt, caption, ...panels } = formula(Object.fromEntries(scene.controls.map((c) => [c.name, c.values[at[c.name]]])), data);
    return { panels, alt, caption };
  };
}

// ---------------------------------------------------------------- page elements

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== false && value != null) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function build(scene, id) {
  const controls = scene.controls.map((c) => (c.kind === "choice" ? choice(c, id) : slider(c, id)));
  // Saved pages store the keys of `panels` sorted; `order` is the order that the author wrote.
  const panels = (scene.order || Object.keys(scene.panels)).map((name, i) => {
    const spec = scene.panels[name];
    const canvas = h("canvas"), plot = h("div", { class: "dc-plot" }, canvas, h("div", { class: "dc-svg" }));
    const title = h("div", { class: "dc-panel-title" }, spec.title || ""), legend = h("div", { class: "dc-legend" });
    return { name, spec, canvas, plot, title, legend, clip: `${id}-clip-${i}`, node: h("div", { class: `dc-panel dc-panel-${name}` }, title, legend, plot) };
  });
  const picture = h("div", { class: "dc-picture", role: "img" }, ...panels.map((p) => p.node));
  picture.style.setProperty("--dc-columns", scene.columns);
  const caption = h("p", { class: "dc-caption", "aria-live": "polite" });
  const root = h("div", { class: "dc-explorer", role: "group", "aria-label": scene.title },
    h("div", { class: "dc-title", "aria-hidden": "true" }, scene.title),
    h("div", { class: "dc-controls" }, ...controls.map((c) => c.node)), picture, caption);
  return { root, controls, panels, picture, caption };
}

function slider(spec, id) {
  const last = spec.texts.length - 1, key = `${id}-${spec.name}`;
  const input = h("input", { type: "range", id: key, min: 0, max: last, step: 1 });
  const output = h("output", { for: key, "aria-hidden": "true" }); // the slider says it: aria-valuetext
  const row = h("div", { class: "dc-row" }, input);
  const node = h("div", { class: "dc-control" }, h("div", { class: "dc-label-row" }, h("label", { for: key }, spec.label), output), row);
  let moved = () => {}, timer = 0;
  const button = !spec.play ? null : h("button", { type: "button", class: "dc-play", "aria-pressed": "false", "aria-label": `Play: ${spec.label}` });
  const stop = () => { clearInterval(timer); timer = 0; button?.setAttribute("aria-pressed", "false"); };
  const advance = () => {
    if (!input.isConnected || +input.value >= last) return stop();
    moved(+input.value + 1);
    if (+input.value + 1 >= last) stop();
  };
  if (button) {
    row.prepend(button);
    button.addEventListener("click", () => {
      if (timer) return stop();
      const rewound = +input.value >= last;
      if (rewound) moved(0);
      // no motion without a wish for it: one step for each press
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return rewound ? undefined : advance();
      button.setAttribute("aria-pressed", "true");
      timer = setInterval(advance, spec.interval);
    });
  }
  input.addEventListener("input", () => { stop(); moved(+input.value); });
  return {
    name: spec.name, node, stop, onMove: (f) => { moved = f; },
    show: (i) => {
      if (+input.value !== i) input.value = i;
      input.style.setProperty("--dc-fill", `${last ? (100 * i) / last : 0}%`);
      input.setAttribute("aria-valuetext", spec.texts[i]);
      output.textContent = spec.texts[i];
    },
  };
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

// Clicking or dragging in a panel moves the named sliders; a finger only taps, so the page scrolls.
function followPointer(p, controls, move) {
  const nearest = (values, v) => values.reduce((best, u, i) => (Math.abs(u - v) < Math.abs(values[best] - v) ? i : best), 0);
  const go = (event) => {
    if (!p.axes) return;
    const box = p.plot.getBoundingClientRect(), at = [event.clientX - box.left, event.clientY - box.top], change = {};
    p.spec.drag.forEach((name, k) => {
      const c = controls.find((control) => control.name === name);
      if (c) change[name] = nearest(c.values, [p.axes.x, p.axes.y][k].invert(at[k]));
    });
    move(change);
  };
  p.plot.classList.add("dc-drag");
  p.plot.addEventListener("pointerdown", (e) => { if (e.pointerType !== "touch") { p.plot.setPointerCapture(e.pointerId); go(e); } });
  p.plot.addEventListener("pointermove", (e) => { if (e.buttons && e.pointerType !== "touch") go(e); });
  p.plot.addEventListener("click", go);
}

// ---------------------------------------------------------------- axes

function scale([low, high], from, to, log) {
  const f = log ? (v) => Math.log10(Math.max(v, 1e-300)) : (v) => +v;
  const a = f(low), slope = (to - from) / (f(high) - a);
  const s = (v) => Math.max(-1e4, Math.min(1e4, from + (f(v) - a) * slope));
  s.inside = (v) => v >= Math.min(low, high) && v <= Math.max(low, high);
  s.invert = (px) => { const u = a + (px - from) / slope; return log ? 10 ** u : u; };
  return s;
}

function ticks([low, high], log, room) {
  const out = [];
  if (log) {
    const a = Math.log10(low), b = Math.log10(high), stride = Math.max(1, Math.ceil((b - a) / room));
    const within = b - a <= 1.5 ? [1, 2, 5] : [1];
    for (let k = Math.floor(a); k <= Math.ceil(b); k++)
      for (const d of within)
        if (((k % stride) + stride) % stride === 0 && Math.log10(d) + k >= a - 1e-9 && Math.log10(d) + k <= b + 1e-9) out.push([d * 10 ** k, power(d, k)]);
    return out;
  }
  const raw = (high - low) / room, decade = 10 ** Math.floor(Math.log10(raw));
  const step = decade * [1, 2, 5, 10].find((m) => m * decade >= raw * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) out.push([i * step, (i * step).toFixed(digits).replace(/^-0$/, "0").replace("-", "−")]);
  return out;
}

const superscript = (k) => String(k).replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(c)]);
const power = (d, k) => (k > -3 && k < 4 ? (d * 10 ** k).toFixed(Math.max(0, -k)) : (d === 1 ? "" : `${d}·`) + `10${superscript(k)}`);

function frame(p) {
  const spec = p.spec, width = Math.max(200, p.node.clientWidth || 480), bare = !spec.axes;
  const wide = (t) => Math.max(0, ...t.map(([, s]) => s.length));
  const left = bare ? 1 : Math.max(24, 12 + 6.6 * wide(ticks(spec.ylim, spec.ylog, 5))), right = bare ? 1 : 12;
  const top = spec.ylabel ? 24 : 8, bottom = bare ? (spec.xlabel ? 20 : 1) : spec.xlabel ? 40 : 24;
  let w = width - left - right, high = Math.max(150, Math.min(320, w * spec.ratio));
  if (spec.equal) {
    const ratio = (spec.ylim[1] - spec.ylim[0]) / (spec.xlim[1] - spec.xlim[0]);
    w = Math.min(w, spec.height / ratio);
    high = w * ratio;
  }
  const box = { left, top, w, h: high, width: left + w + right, height: top + high + bottom };
  return { box, x: scale(spec.xlim, left, left + w, spec.xlog), y: scale(spec.ylim, top + high, top, spec.ylog) };
}

function drawAxes(p, { box, x, y }) {
  const { spec } = p, base = box.top + box.h, out = [];
  if (!spec.axes) out.push(`<rect class="dc-frame" x="${box.left}" y="${box.top}" width="${n(box.w)}" height="${n(box.h)}"/>`);
  else {
    for (const [v, s] of ticks(spec.xlim, spec.xlog, Math.max(2, Math.floor(box.w / 62))))
      out.push(`<path class="dc-grid" d="M${n(x(v))} ${box.top}V${n(base)}"/><text class="dc-tick" x="${n(x(v))}" y="${n(base + 15)}" text-anchor="middle">${s}</text>`);
    for (const [v, s] of ticks(spec.ylim, spec.ylog, Math.max(2, Math.floor(box.h / 42))))
      out.push(`<path class="dc-grid" d="M${box.left} ${n(y(v))}h${n(box.w)}"/><text class="dc-tick" x="${box.left - 6}" y="${n(y(v) + 4)}" text-anchor="end">${s}</text>`);
    out.push(`<path class="dc-axis" d="M${box.left} ${n(base)}h${n(box.w)}"/>`);
  }
  if (spec.ylabel) out.push(`<text class="dc-axis-label" x="0" y="13">${esc(spec.ylabel)}</text>`);
  if (spec.xlabel) out.push(`<text class="dc-axis-label" x="${n(box.left + box.w)}" y="${n(box.height - 6)}" text-anchor="end">${esc(spec.xlabel)}</text>`);
  return out.join("");
}

// ---------------------------------------------------------------- marks

const n = (v) => Math.round(v * 100) / 100;
const esc = (s) => String(s).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const color = (name, text) => esc(/^#|^rgb|^var/.test(name) ? name : `var(--dc-${name}${text ? "-text" : ""})`);
const list = (v) => (typeof v === "number" ? [v] : v);
const rows = (v) => (v.length && typeof v[0] === "object" ? v : [v]);
const stroke = (m, width) => `fill="none" stroke="${color(m.color)}" stroke-width="${+(m.width ?? width)}" stroke-linejoin="round" stroke-linecap="round" opacity="${+(m.opacity ?? 1)}"${m.dash ? ' stroke-dasharray="5 4"' : ""}`;

function trace(xs, ys, { x, y }) {
  let d = "";
  for (let i = 0; i < xs.length; i++) d += `${i ? "L" : "M"}${n(x(xs[i]))} ${n(y(ys[i]))}`;
  return d;
}

function pointLabel(ax, m, px, py, anchor = "start") {
  if (m.label) ax.labels.push({ x: px, y: py, text: m.label, color: color(m.color, true), anchor });
}

const DRAW = {
  points(m, ax) {
    const at = [], size = m.size ?? 3, shape = m.shape || "dot";
    for (let i = 0; i < m.x.length; i++)
      if (ax.x.inside(m.x[i]) && ax.y.inside(m.y[i])) at.push([n(ax.x(m.x[i])), n(ax.y(m.y[i])), typeof size === "number" ? size : size[i], m.colors ? `cat${m.colors[i] % 12}` : m.color]);
    ax.key(m, shape);
    if (shape === "cross") return `<path d="${at.map(([u, v, r]) => `M${n(u - r)} ${n(v - r)}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`).join("")}" ${stroke(m, 1.5)}/>`;
    if (shape === "dot" && typeof size === "number" && !m.colors) // many dots, one element: dots are round caps of empty lines
      return `<path d="${at.map(([u, v]) => `M${u} ${v}h0`).join("")}" stroke-width="${2 * size}" stroke-linecap="round" stroke="${color(m.color)}" opacity="${m.opacity ?? 1}"/>`;
    const paint = (c) => (shape === "ring" ? `fill="none" stroke="${color(c)}" stroke-width="${m.width ?? 2}"` : `fill="${color(c)}" stroke="var(--dc-panel)" stroke-width=".7"`);
    return `<g opacity="${m.opacity ?? 1}">${at.map(([u, v, r, c]) => `<circle cx="${u}" cy="${v}" r="${n(r)}" ${paint(c)}/>`).join("")}</g>`;
  },
  line(m, ax) {
    const xs = rows(m.x), ys = rows(m.y);
    if (m.label && ys !== m.y) { // one curve: its name stands at the curve
      let i = Math.round((m.label_at ?? 1) * (m.x.length - 1));
      while (i > 0 && !(ax.x.inside(m.x[i]) && ax.y.inside(m.y[i]))) i--;
      pointLabel(ax, m, ax.x(m.x[i]), ax.y(m.y[i]) - 7, m.label_at == null || m.label_at > 0.7 ? "end" : m.label_at < 0.3 ? "start" : "middle");
    } else ax.key(m, "line");
    return `<path d="${ys.map((row, i) => trace(xs[i % xs.length], row, ax)).join("")}" ${stroke(m, 2)}/>`;
  },
  area(m, ax) {
    const low = typeof m.low === "number" ? Array.from(m.x, () => m.low) : m.low;
    ax.key(m, "square");
    return `<path d="${trace(m.x, m.high, ax)}${trace(Array.from(m.x).reverse(), Array.from(low).reverse(), ax).replace("M", "L")}Z" fill="${color(m.color)}" opacity="${m.opacity ?? 0.25}"/>`;
  },
  bars(m, ax) {
    const base = m.base ?? 0;
    ax.key(m, "square");
    return `<path d="${Array.from(m.x, (v, i) => {
      const a = ax.x(v - m.width / 2), b = ax.x(v + m.width / 2);
      return `M${n(a)} ${n(ax.y(base))}V${n(ax.y(m.y[i]))}H${n(b)}V${n(ax.y(base))}Z`;
    }).join("")}" fill="${color(m.color)}" opacity="${m.opacity ?? 0.85}"/>`;
  },
  ellipse(m, ax) {
    const xs = [], ys = [], c = Math.cos(m.angle ?? 0), s = Math.sin(m.angle ?? 0);
    for (let i = 0; i < 72; i++) {
      const u = m.rx * Math.cos((i * Math.PI) / 36), v = m.ry * Math.sin((i * Math.PI) / 36);
      xs.push(m.cx + c * u - s * v);
      ys.push(m.cy + s * u + c * v);
    }
    ax.key(m, "line");
    const d = `${trace(xs, ys, ax)}Z`;
    return (m.fill ? `<path d="${d}" fill="${color(m.color)}" opacity="${m.fill}"/>` : "") + `<path d="${d}" ${stroke(m, 2)}/>`;
  },
  arrows(m, ax) {
    ax.key(m, "line");
    const [x0, y0, x1, y1] = [m.x0, m.y0, m.x1, m.y1].map(list);
    let d = "";
    for (let i = 0; i < x0.length; i++) {
      const a = ax.x(x0[i]), b = ax.y(y0[i]), u = ax.x(x1[i]) - a, v = ax.y(y1[i]) - b, long = Math.hypot(u, v);
      d += `M${n(a)} ${n(b)}l${n(u)} ${n(v)}`;
      if (m.head === false || long < 2) continue;
      const k = Math.min(8, 0.4 * long) / long;
      for (const turn of [-1, 1]) d += `M${n(a + u)} ${n(b + v)}l${n(-k * (u + turn * 0.5 * v))} ${n(-k * (v - turn * 0.5 * u))}`;
    }
    return `<path d="${d}" ${stroke(m, 1.8)}/>`;
  },
  text: (m, ax) => `<text class="dc-label" x="${n(ax.x(m.x))}" y="${n(ax.y(m.y) + 4)}" text-anchor="${esc(m.anchor || "start")}" style="fill:${color(m.color, true)}">${esc(m.text)}</text>`,
  vline(m, ax) {
    const u = ax.x(m.x), late = u > ax.box.left + 0.7 * ax.box.w;
    pointLabel(ax, m, u + (late ? -5 : 5), ax.box.top + 12, late ? "end" : "start");
    return `<path d="M${n(u)} ${ax.box.top}V${n(ax.box.top + ax.box.h)}" ${stroke(m, 1.5)}/>`;
  },
  hline(m, ax) {
    pointLabel(ax, m, ax.box.left + ax.box.w, ax.y(m.y) - 5, "end");
    return `<path d="M${ax.box.left} ${n(ax.y(m.y))}h${n(ax.box.w)}" ${stroke(m, 1.5)}/>`;
  },
};

// Direct labels step aside for one another, downwards, and stay inside the panel.
function drawLabels(labels, box) {
  const size = (l) => 6.4 * l.text.length, placed = [];
  for (const l of labels.sort((a, b) => a.y - b.y)) {
    const w = size(l), start = (l.anchor === "end" ? l.x - w : l.anchor === "middle" ? l.x - w / 2 : l.x);
    l.start = Math.max(box.left + 2, Math.min(box.left + box.w - w, start));
    l.y = Math.max(box.top + 11, Math.min(box.top + box.h - 5, l.y));
    for (const o of placed) if (l.start < o.start + size(o) && o.start < l.start + w && Math.abs(l.y - o.y) < 15) l.y = o.y + 15;
    placed.push(l);
  }
  return placed.map((l) => {
    const x = { start: l.start, end: l.start + size(l), middle: l.start + size(l) / 2 }[l.anchor];
    return `<text class="dc-label" x="${n(x)}" y="${n(l.y)}" text-anchor="${l.anchor}" style="fill:${l.color}">${esc(l.text)}</text>`;
  }).join("");
}

const KEYS = {
  dot: '<circle cx="9" cy="6" r="4" fill="currentColor"/>', ring: '<circle cx="9" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="2"/>',
  cross: '<path d="M5 2l8 8m0-8l-8 8" stroke="currentColor" stroke-width="1.8"/>', square: '<rect x="3" y="1" width="12" height="10" rx="1.5" fill="currentColor"/>',
  line: '<path d="M1 6h16" stroke="currentColor" stroke-width="2.4"/>',
};

function drawPanel(p, marks, root) {
  const grid = marks.find((m) => m.mark === "images");
  if (p.spec.kind === "images") return grid ? drawImages(p, grid, root) : undefined;
  const ax = { ...frame(p), labels: [], legend: [] };
  p.axes = ax;
  ax.key = (m, shape) => { if (m.label && !ax.legend.some((k) => k.text === m.label)) ax.legend.push({ text: m.label, color: color(m.color), shape }); };
  const loose = [], clipped = [];
  p.canvas.hidden = true;
  for (const m of marks) {
    if (m.mark === "heat") drawHeat(p, m, ax, root);
    else (m.mark === "text" || m.mark === "points" ? loose : clipped).push(DRAW[m.mark](m, ax));
  }
  const { box } = ax;
  p.plot.style.width = `${n(box.width)}px`;
  p.plot.style.height = `${n(box.height)}px`;
  p.plot.lastChild.innerHTML = `<svg width="${n(box.width)}" height="${n(box.height)}" aria-hidden="true"><clipPath id="${p.clip}"><rect x="${box.left}" y="${box.top}" width="${n(box.w)}" height="${n(box.h)}"/></clipPath>`
    + `${drawAxes(p, ax)}<g clip-path="url(#${p.clip})">${clipped.join("")}</g>${loose.join("")}${drawLabels(ax.labels, box)}</svg>`;
  const legend = ax.legend.map((k) => `<span><svg width="18" height="12" aria-hidden="true" style="color:${k.color}">${KEYS[k.shape]}</svg>${esc(k.text)}</span>`).join("");
  if (p.legend.innerHTML !== legend) p.legend.innerHTML = legend;
}

// ---------------------------------------------------------------- pixels

const PALETTES = {
  gray: ["#000000", "#ffffff"],
  ink: ["#ffffff", "#000000"],
  sequential: ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"],
  diverging: ["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"],
};
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// 256 colours between the stops of a palette, or the categorical colours as the theme has them now.
function colours(name, root) {
  if (name === "categorical") {
    const style = getComputedStyle(root);
    return Array.from({ length: 12 }, (_, i) => rgb(style.getPropertyValue(`--dc-cat${i}`).trim()));
  }
  const stops = (Array.isArray(name) ? name : PALETTES[name]).map(rgb);
  if (Array.isArray(name)) return stops;
  return Array.from({ length: 256 }, (_, i) => {
    const t = (i / 255) * (stops.length - 1), k = Math.min(Math.floor(t), stops.length - 2);
    return stops[k].map((c, j) => c + (t - k) * (stops[k + 1][j] - c));
  });
}

function drawHeat(p, m, ax, root) {
  const z = rows(m.z), high = z.length, wide = z[0].length, palette = colours(m.palette, root), { canvas } = p;
  Object.assign(canvas, { width: wide, height: high, hidden: false });
  const context = canvas.getContext("2d"), image = context.createImageData(wide, high);
  for (let i = 0; i < high; i++)
    for (let j = 0; j < wide; j++) {
      const v = z[high - 1 - i][j]; // the first row of the map is the lowest
      const c = m.vmin == null ? palette[v % palette.length] : palette[Math.round(Math.max(0, Math.min(1, (v - m.vmin) / (m.vmax - m.vmin))) * (palette.length - 1))];
      image.data.set([...c, 255], 4 * (i * wide + j));
    }
  context.putImageData(image, 0, 0);
  const [x0, x1, y0, y1] = m.extent, a = ax.x(x0), b = ax.y(y1);
  Object.assign(canvas.style, { left: `${a}px`, top: `${b}px`, width: `${ax.x(x1) - a}px`, height: `${ax.y(y0) - b}px`, opacity: m.opacity ?? 1 });
}

function drawImages(p, m, root) {
  const { data, shape: [count, high, wide, channels = 1] } = m.data, columns = Math.min(m.columns, count), lines = Math.ceil(count / columns);
  const width = Math.max(120, p.node.clientWidth || 480), gap = columns > 12 ? 2 : 4, label = m.labels ? 16 : 0;
  const cell = Math.max(4, Math.min(m.cell, Math.floor((width - gap * (columns - 1)) / columns))), tall = Math.round((cell * high) / wide);
  const full = [columns * (cell + gap) - gap, lines * (tall + gap + label) - gap], sharp = Math.max(1, Math.round(devicePixelRatio || 1));
  const tile = h("canvas", { width: wide, height: high }), pen = tile.getContext("2d"), image = pen.createImageData(wide, high);
  const { canvas } = p, palette = colours(m.palette, root), context = canvas.getContext("2d");
  Object.assign(canvas, { width: full[0] * sharp, height: full[1] * sharp });
  Object.assign(canvas.style, { position: "static", width: `${full[0]}px`, height: `${full[1]}px` });
  Object.assign(p.plot.style, { width: `${full[0]}px`, height: `${full[1]}px` });
  context.imageSmoothingEnabled = false;
  const marks = [];
  for (let k = 0; k < count; k++) {
    for (let i = 0; i < high * wide; i++) {
      const v = (c) => Math.max(0, Math.min(255, Math.round((255 * (data[(k * high * wide + i) * channels + c] - m.vmin)) / (m.vmax - m.vmin))));
      image.data.set(channels === 3 ? [v(0), v(1), v(2), 255] : [...palette[v(0)], 255], 4 * i);
    }
    pen.putImageData(image, 0, 0);
    const x = (k % columns) * (cell + gap), y = Math.floor(k / columns) * (tall + gap + label);
    context.drawImage(tile, x * sharp, y * sharp, cell * sharp, tall * sharp);
    if (m.labels) marks.push(`<text class="dc-tick" x="${x + cell / 2}" y="${y + tall + 12}" text-anchor="middle">${esc(m.labels[k])}</text>`);
    if (m.outline?.[k]) marks.push(`<rect x="${x - 1}" y="${y - 1}" width="${cell + 2}" height="${tall + 2}" rx="2" fill="none" stroke="${color(m.outline[k])}" stroke-width="2.5"/>`);
  }
  p.plot.lastChild.innerHTML = `<svg width="${full[0]}" height="${full[1]}" overflow="visible" aria-hidden="true">${marks.join("")}</svg>`;
}
