// Marks in SVG: each is a dictionary that marks.py made.

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

// Shapes about as large as a disc of radius r, around (u, v).
const GLYPHS = {
  square: (r) => `m${n(-0.89 * r)} ${n(-0.89 * r)}h${n(1.78 * r)}v${n(1.78 * r)}h${n(-1.78 * r)}z`,
  triangle: (r) => `m0 ${n(-1.3 * r)}l${n(1.2 * r)} ${n(2.1 * r)}h${n(-2.4 * r)}z`,
  diamond: (r) => `m0 ${n(-1.25 * r)}l${n(1.25 * r)} ${n(1.25 * r)}l${n(-1.25 * r)} ${n(1.25 * r)}l${n(-1.25 * r)} ${n(-1.25 * r)}z`,
};
const glyph = (shape, name, r, u, v) => `<path d="M${u} ${v}${GLYPHS[shape](r)}" fill="${color(name)}" stroke="var(--dc-panel)" stroke-width=".7"/>`;

const DRAW = {
  points(m, ax) {
    const at = [], size = m.size ?? 3, shape = m.shape || "dot";
    for (let i = 0; i < m.x.length; i++)
      if (ax.x.inside(m.x[i]) && ax.y.inside(m.y[i])) at.push([n(ax.x(m.x[i])), n(ax.y(m.y[i])), typeof size === "number" ? size : size[i], m.colors ? `cat${m.colors[i] % 12}` : m.color]);
    ax.key(m, shape);
    if (shape === "cross") return `<path d="${at.map(([u, v, r]) => `M${n(u - r)} ${n(v - r)}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`).join("")}" ${stroke(m, 1.5)}/>`;
    if (shape === "dot" && typeof size === "number" && !m.colors) // many dots, one element: dots are round caps of empty lines
      return `<path d="${at.map(([u, v]) => `M${u} ${v}h0`).join("")}" stroke-width="${2 * size}" stroke-linecap="round" stroke="${color(m.color)}" opacity="${m.opacity ?? 1}"/>`;
    if (shape in GLYPHS) return `<g opacity="${m.opacity ?? 1}">${at.map(([u, v, r, c]) => glyph(shape, c, r, u, v)).join("")}</g>`;
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
  triangle: '<path d="M9 1l5.2 9.5H3.8z" fill="currentColor"/>', diamond: '<path d="M9 .5L14.5 6 9 11.5 3.5 6z" fill="currentColor"/>',
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
