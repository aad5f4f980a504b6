// The plane of measures: points with error bars; the chosen one shows its samples and numbers.
let serial = 0;
const TALLEST = 430, REACH = 22, HIGH = 17; // pixels: of the plane, of a finger around a point, of a label
const MOVE = { duration: 450, easing: "cubic-bezier(.3, 0, .2, 1)" };

export default { render };

async function render({ model, el }) {
  const scene = model.get("scene"), arrays = await unpack(model.get("blob"), scene);
  const marks = scene.marks.map((mark) => resolve(mark, arrays)), ui = build(scene, `dc-plane-${++serial}-${Math.random().toString(36).slice(2, 8)}`);
  el.replaceChildren(ui.root);
  let pending = 0, speak = 0, before = null;

  const draw = () => {
    pending = 0;
    const at = stateOf(scene, model);
    ui.point.show(at.i);
    for (const k of ["x", "y"]) ui[k]?.show(scene.offered[k].indexOf(at[k].name));
    ui.plot.setAttribute("aria-label", fill(scene.alt, at.words));
    const places = drawPlane(ui, scene, at);
    const axes = `${at.x.name} ${at.y.name}`;
    if (before && before.axes !== axes) glide(ui, before.at, places);
    before = { axes, at: places };
    drawChosen(ui, scene, at, marks);
    drawNumbers(ui, scene, at);
    clearTimeout(speak); // a screen reader hears where the reader stopped, not every step
    speak = setTimeout(() => say(ui.caption, fill(scene.caption, at.words)), ui.caption.textContent ? 120 : 0);
  };
  const schedule = () => { if (!pending) pending = requestAnimationFrame(draw); };
  const change = (part) => {
    for (const [name, value] of Object.entries(part)) model.set(name, value);
    model.save_changes();
    schedule();
  };
  ui.point.onMove((i) => change({ chosen: scene.points[i].name }));
  for (const k of ["x", "y"]) ui[k]?.onMove((i) => change(turned(scene, model, k, scene.offered[k][i])));
  followPointer(ui, () => before.at, (i) => change({ chosen: scene.points[i].name }), () => scene.points.findIndex((p) => p.name === model.get("chosen")));

  const sizes = new ResizeObserver(schedule), theme = new MutationObserver(schedule), system = matchMedia("(prefers-color-scheme: dark)");
  for (const name of ["chosen", "x", "y"]) model.on(`change:${name}`, schedule);
  sizes.observe(ui.root);
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributes: true });
  system.addEventListener("change", schedule);
  document.fonts?.ready.then(schedule); // labels are as wide as their letters
  draw();
  return () => {
    for (const name of ["chosen", "x", "y"]) model.off(`change:${name}`, schedule);
    sizes.disconnect();
    theme.disconnect();
    system.removeEventListener("change", schedule);
    cancelAnimationFrame(pending);
    clearTimeout(speak);
  };
}

// What the reader has chosen, and the words for it.
function stateOf(scene, model) {
  const i = Math.max(0, scene.points.findIndex((p) => p.name === model.get("chosen"))), point = scene.points[i];
  const [x, y] = ["x", "y"].map((k) => Math.max(0, scene.axes.findIndex((a) => a.name === model.get(k))));
  const words = { label: point.label, text: point.text, group: point.group, x: scene.axes[x].label, y: scene.axes[y].label, xvalue: point.texts[x], yvalue: point.texts[y] };
  return { i, point, words, x: { ...scene.axes[x], k: x }, y: { ...scene.axes[y], k: y } };
}

// Another measure on one axis; the measure that the other axis has changes places with it.
function turned(scene, model, k, name) {
  const other = k === "x" ? "y" : "x";
  if (model.get(other) !== name) return { [k]: name };
  const free = [model.get(k), ...scene.offered[other]].find((m) => m !== name && scene.offered[other].includes(m));
  return { [k]: name, [other]: free ?? name };
}

const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };

// ---------------------------------------------------------------- page elements

function build(scene, id) {
  const menu = (k, label, texts) => choice({ name: k, label, texts }, id), label = (name) => scene.axes.find((a) => a.name === name).label;
  const point = menu("point", scene.what, scene.points.map((p) => p.label));
  const [x, y] = ["x", "y"].map((k) => (scene.offered[k].length > 1 ? menu(k, `${k} axis`, scene.offered[k].map(label)) : null));
  const plot = h("div", { class: "dc-plot dcq-plot", role: "img" }), sheet = h("canvas"), name = h("div", { class: "dcq-name" }), about = h("div", { class: "dcq-about" });
  const frame = h("div", { class: "dc-sheet", role: "img" }, sheet), numbers = h("div", { class: "dcq-numbers" });
  const caption = h("p", { class: "dc-caption", "aria-live": "polite" }), keys = h("div", { class: "dc-legend dcq-keys" }), note = h("p", { class: "dcq-note" });
  const legend = h("div", { class: "dc-legend" }), plane = h("div", { class: "dc-panel dcq-plane" }, legend, plot, keys);
  const side = h("div", { class: "dcq-side" }, name, about, frame, numbers, caption);
  legend.innerHTML = scene.groups.filter(([text]) => text).map(([text, tint, shape]) => `<span>${icon(shape, tint)}${esc(text)}</span>`).join("");
  const root = h("div", { class: "dc-explorer dc-plane", role: "group", "aria-label": scene.title },
    h("div", { class: "dc-title", "aria-hidden": "true" }, scene.title),
    h("div", { class: "dc-controls" }, ...[point, x, y].filter(Boolean).map((c) => c.node)), h("div", { class: "dcq-body" }, plane, side, note));
  return { root, point, x, y, plane, plot, keys, note, side, name, about, frame, sheet, numbers, caption };
}

const icon = (shape, tint) => `<svg width="18" height="12" aria-hidden="true" style="color:${color(tint)}">${KEYS[shape]}</svg>`;
const looks = (scene, point) => scene.groups.find(([name]) => name === point.group);

// The nearest point within reach of a click; on a pile, the next of the pile.
function followPointer(ui, places, choose, chosen) {
  const find = (event, next) => {
    const name = event.target.closest?.("text")?.closest("[data-point]");
    if (name) return +name.dataset.point;
    const box = ui.plot.getBoundingClientRect(), u = event.clientX - box.left, v = event.clientY - box.top;
    const near = places().map(([a, b], i) => [Math.hypot(a - u, b - v), i]).filter(([d]) => d <= REACH).sort((a, b) => a[0] - b[0]);
    if (!near.length) return null;
    const pile = near.filter(([d]) => d <= near[0][0] + 5).map(([, i]) => i), k = pile.indexOf(chosen());
    return next && k >= 0 ? pile.sort((a, b) => a - b)[(pile.indexOf(chosen()) + 1) % pile.length] : pile[0];
  };
  ui.plot.addEventListener("click", (event) => { const i = find(event, true); if (i !== null) choose(i); });
  ui.keys.addEventListener("click", (event) => { const key = event.target.closest("[data-point]"); if (key) choose(+key.dataset.point); });
  ui.plot.addEventListener("pointermove", (event) => {
    const i = event.pointerType === "touch" ? null : find(event, false);
    ui.plot.style.cursor = i === null ? "" : "pointer";
    for (const node of ui.plot.querySelectorAll(".dcq-point")) node.classList.toggle("dcq-near", +node.dataset.point === i);
  });
  ui.plot.addEventListener("pointerleave", () => { for (const node of ui.plot.querySelectorAll(".dcq-near")) node.classList.remove("dcq-near"); });
}

// ---------------------------------------------------------------- the plane

// Draws everything in the plane; returns where the points are, in pixels.
function drawPlane(ui, scene, at) {
  const spec = { xlim: at.x.limits, ylim: at.y.limits, xlog: at.x.log, ylog: at.y.log, xlabel: at.x.label, ylabel: at.y.label, axes: true, ratio: ui.plane.clientWidth < 440 ? 0.95 : 0.76 };
  const p = { spec, node: ui.plane }, ax = frame(p, TALLEST), { box } = ax, { x, y } = ax;
  const inside = [box.left + 1, box.top + 1, box.left + box.w - 1, box.top + box.h - 1], wide = measured(ui.root);
  const bars = scene.points.map(({ values }) => barsOf(values[at.x.k], values[at.y.k], ax, inside)), places = bars.map((b) => b.at);
  const lines = linesOf(at, ax), thin = [...bars.flatMap((b) => b.boxes), ...lines.map((l) => l.box)];
  const busy = [...places.map(([u, v]) => around(u, v, BODY)), ...thin], blocked = [];
  const fixed = (text, boxes) => {
    const b = quietest(boxes, [...busy, ...blocked.map(widened)]);
    blocked.push(b);
    return `<text class="dc-label dcq-fixed" x="${n(b[0])}" y="${n(b[3] - 4.5)}"`.concat(">", esc(text), "</text>");
  };
  const back = [...regionsOf(scene, at, ax).map((r) => region(r, wide, fixed)), ...lines.map((l) => reference(l, box, wide, fixed))];
  const named = label(scene.points.map((q) => q.label), places, wide, blocked, thin, inside);
  const full = named.covered < 12 && named.area < 0.3 * box.w * box.h;
  const texts = scene.points.map((q, i) => (full ? q.label : String(i + 1)));
  const spots = full ? named.boxes : label(texts, places, wide, blocked, thin, inside).boxes;
  const order = [...scene.points.keys()].filter((i) => i !== at.i).concat(at.i); // the chosen one on top
  const [cu, cv] = places[at.i], guide = `<path class="dcq-guide" d="M${n(cu)} ${n(cv)}V${n(box.top + box.h)}M${n(cu)} ${n(cv)}H${box.left}"/>`;
  ui.plot.style.width = `${n(box.width)}px`;
  ui.plot.style.height = `${n(box.height)}px`;
  ui.plot.innerHTML = `<svg width="${n(box.width)}" height="${n(box.height)}" aria-hidden="true">${drawAxes(p, ax)}${back.map((b) => b.shape).join("")}${back.map((b) => b.text).join("")}${guide}`
    + order.map((i) => pointOf(scene, i, i === at.i, bars[i], spots[i], texts[i])).join("") + "</svg>";
  ui.root.dataset.labels = full ? "names" : "numbers";
  const keys = full ? "" : scene.points.map((q, i) => `<span data-point="${i}"${i === at.i ? ' class="dcq-on"' : ""}><b style="color:${color(looks(scene, q)[1], true)}">${i + 1}</b> ${esc(q.label)}</span>`).join("");
  if (ui.keys.innerHTML !== keys) ui.keys.innerHTML = keys;
  const notes = [at.x, at.y].filter((a) => a.note).map((a) => `<b>${esc(a.label)}</b>: ${esc(a.note)}`).join(" ");
  if (ui.note.innerHTML !== notes) ui.note.innerHTML = notes;
  return places;
}

// Widths of words in the font of labels; a heavy one, so that no label moves when it is chosen.
function measured(root) {
  const pen = h("canvas").getContext("2d");
  pen.font = `700 12.5px ${getComputedStyle(root).fontFamily}`;
  return (text) => Math.ceil(pen.measureText(text).width) + 3;
}

const widened = ([a, b, c, d]) => [a - 3, b - 2, c + 3, d + 2];

function label(texts, places, wide, blocked, thin, inside) {
  const sizes = texts.map((text) => [wide(text), HIGH]);
  return { ...placeLabels(places, sizes, blocked, thin, inside), area: total(sizes, ([w, high]) => w * high) };
}

// A point on the screen, and its error bars as thin boxes inside the plane.
function barsOf([xv, x0, x1], [yv, y0, y1], { x, y }, [left, top, right, base]) {
  const u = x(xv), v = y(yv), within = (t, low, high) => Math.max(low, Math.min(high, t));
  const [a, b] = [x(x0), x(x1)].map((t) => within(t, left - 1, right + 1)), [c, d] = [y(y1), y(y0)].map((t) => within(t, top - 1, base + 1));
  return { at: [u, v], path: `M${n(a)} ${n(v)}H${n(b)}M${n(u)} ${n(c)}V${n(d)}`, boxes: [[a, v - 2, b, v + 2], [u - 2, c, u + 2, d]] };
}

function pointOf(scene, i, on, bars, [left, top, right, base], text) {
  const [, tint, shape] = looks(scene, scene.points[i]), [u, v] = bars.at, r = on ? 7.5 : 6;
  const near = [Math.max(left, Math.min(right, u)), Math.max(top + 3, Math.min(base - 3, v))], far = Math.hypot(near[0] - u, near[1] - v);
  const leader = far < 15 ? "" : `<path class="dcq-leader" d="M${n(u + ((near[0] - u) * 9) / far)} ${n(v + ((near[1] - v) * 9) / far)}L${n(near[0])} ${n(near[1])}"/>`;
  const side = right <= u ? ["end", right - 1] : left >= u ? ["start", left + 1] : ["middle", (left + right) / 2];
  return `<g class="dcq-point${on ? " dcq-on" : ""}" data-point="${i}"><path d="${bars.path}" class="dcq-bars" stroke="${color(tint)}"/>${leader}`
    + `<circle class="dcq-halo" cx="${n(u)}" cy="${n(v)}" r="11" stroke="${color(tint)}"/>${DRAW.points({ x: [u], y: [v], size: r, shape, color: tint }, SCREEN)}`
    + `<text class="dc-label" x="${n(side[1])}" y="${n(base - 4.5)}" text-anchor="${side[0]}" style="fill:${color(tint, true)}">${esc(text)}</text></g>`;
}

// Axes of a picture that is measured in pixels already.
const SCREEN = { x: Object.assign((v) => v, { inside: () => true }), y: Object.assign((v) => v, { inside: () => true }), key: () => {} };

// Regions whose measures stand on the axes, as boxes in pixels.
function regionsOf(scene, at, { box, x, y }) {
  return scene.regions.filter(([, , ranges]) => ranges.every(([m]) => m === at.x.name || m === at.y.name)).map(([text, tint, ranges]) => {
    const of = (name) => ranges.find(([m]) => m === name) || [name, null, null], [, x0, x1] = of(at.x.name), [, y0, y1] = of(at.y.name);
    const edge = (v, f, none, low, high) => (v === null ? none : Math.max(low, Math.min(high, f(v))));
    const [right, base] = [box.left + box.w, box.top + box.h];
    return { text, tint, box: [edge(x0, x, box.left, box.left, right), edge(y1, y, box.top, box.top, base), edge(x1, x, right, box.left, right), edge(y0, y, base, box.top, base)] };
  });
}

function region({ text, tint, box: [left, top, right, base] }, wide, fixed) {
  const w = wide(text), corner = (u, v) => [u, v, u + w, v + HIGH], pad = 4;
  const words = !text ? "" : fixed(text, [corner(left + pad, base - HIGH - pad), corner(left + pad, top + pad), corner(right - w - pad, base - HIGH - pad), corner(right - w - pad, top + pad)]);
  return { text: words, shape: `<rect x="${n(left)}" y="${n(top)}" width="${n(Math.max(0, right - left))}" height="${n(Math.max(0, base - top))}" rx="3" class="dcq-region" fill="${color(tint)}"/>` };
}

// Reference values of both axes, as lines in pixels.
function linesOf(at, { box, x, y }) {
  const lines = (axis, f, upright) => axis.lines.filter(([, v]) => f.inside(v)).map(([text, v]) => ({ text, at: f(v), upright, box: upright ? [f(v) - 1, box.top, f(v) + 1, box.top + box.h] : [box.left, f(v) - 1, box.left + box.w, f(v) + 1] }));
  return [...lines(at.x, x, true), ...lines(at.y, y, false)];
}

function reference({ text, at, upright }, { left, top, w, h: high }, wide, fixed) {
  const size = wide(text), right = left + w, base = top + high, low = [], put = (u, v) => { if (u >= left && u + size <= right + 1) low.push([u, v, u + size, v + HIGH]); };
  if (upright) for (const v of [top + 2, base - HIGH - 2]) for (const u of [at + 5, at - 5 - size]) put(u, v);
  else for (const u of [right - size - 2, left + 4]) for (const v of [at - HIGH - 1, at + 2]) put(u, v);
  const shape = `<path class="dcq-line" d="${upright ? `M${n(at)} ${top}V${n(base)}` : `M${left} ${n(at)}H${n(right)}`}"/>`;
  return { shape, text: low.length ? fixed(text, low) : "" };
}

// Points move from where they were, so that the eye can follow them to the new axes.
function glide(ui, from, to) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const node of ui.plot.querySelectorAll(".dcq-point")) {
    const i = +node.dataset.point, [u, v] = [from[i][0] - to[i][0], from[i][1] - to[i][1]];
    node.animate([{ transform: `translate(${n(u)}px, ${n(v)}px)` }, { transform: "none" }], MOVE);
  }
}

// ---------------------------------------------------------------- the chosen point

function drawChosen(ui, scene, { i, point }, marks) {
  const [, tint, shape] = looks(scene, point), sheets = point.sheets.map((k) => marks[k]), [count] = sheets[0].data.shape;
  const title = `${icon(shape, tint)}<span>${ui.root.dataset.labels === "numbers" ? `${i + 1} ` : ""}${esc(point.label)}</span>`;
  if (ui.name.innerHTML !== title) ui.name.innerHTML = title;
  const what = `${count === 1 ? "1 sample" : `${count} samples`}${sheets.length > 1 ? `, ${count === 1 ? "" : "each "}above its nearest training image` : ""}`;
  say(ui.about, what);
  ui.frame.setAttribute("aria-label", `${what}: ${point.label}.`);
  drawSheet(ui, sheets);
}

// Whole multiples of the pixels, so that every pixel is as large as the next.
function drawSheet(ui, sheets) {
  const [count, high, wide] = sheets[0].data.shape, room = Math.max(120, ui.side.clientWidth || 320), gap = 4;
  const times = Math.max(1, Math.round(50 / wide)), size = [wide * times, high * times], pair = sheets.length > 1 ? 2 : 0;
  const lines = Math.ceil(count / Math.max(1, Math.floor((room + gap) / (size[0] + gap)))), columns = Math.ceil(count / lines);
  const pitch = sheets.length * size[1] + pair + (pair ? 10 : gap);
  const layers = sheets.map((m, k) => ({ m, size, places: Array.from({ length: count }, (_, i) => [(i % columns) * (size[0] + gap), Math.floor(i / columns) * pitch + k * (size[1] + pair)]) }));
  paintImages(ui.sheet, [columns * (size[0] + gap) - gap, lines * pitch - (pair ? 10 : gap)], layers, ui.root);
}

// Each measure: its value, and a strip on which all points stand and the chosen one is marked.
function drawNumbers(ui, scene, { i, point, x, y }) {
  const [, tint] = looks(scene, point), width = 88, rows = scene.axes.map((axis, k) => {
    const s = scale(axis.limits, 5, width - 5, axis.log), [v, low, high] = point.values[k];
    const ticks = scene.points.map(({ values }, j) => (j === i ? "" : `M${n(s(values[k][0]))} 5v8`)).join("");
    const here = k === x.k ? " (x)" : k === y.k ? " (y)" : "";
    return `<div><dt>${esc(axis.label)}${here && `<span class="dcq-axis">${here}</span>`}</dt><dd>${esc(point.texts[k])}</dd><dd class="dcq-strip"><svg width="${width}" height="18" aria-hidden="true">`
      + `<path class="dcq-rail" d="M2 9H${width - 2}"/><path class="dcq-others" d="${ticks}"/><path d="M${n(s(low))} 9H${n(s(high))}" stroke="${color(tint)}" stroke-width="3"/><circle cx="${n(s(v))}" cy="9" r="4.5" fill="${color(tint)}"/></svg></dd></div>`;
  });
  const html = `<dl>${rows.join("")}</dl>${scene.interval ? `<div class="dcq-interval">In brackets: ${esc(scene.interval)}.</div>` : ""}`;
  if (ui.numbers.innerHTML !== html) ui.numbers.innerHTML = html;
}
