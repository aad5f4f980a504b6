// Scales, ticks and axes.

// `log`: false, true, or the width around 0 in which a symmetric logarithm is about linear.
function scale([low, high], from, to, log) {
  const f = log === true ? (v) => Math.log10(Math.max(v, 1e-300)) : log ? (v) => Math.asinh(v / log) : (v) => +v;
  const back = log === true ? (u) => 10 ** u : log ? (u) => log * Math.sinh(u) : (u) => u;
  const a = f(low), slope = (to - from) / (f(high) - a);
  const s = (v) => Math.max(-1e4, Math.min(1e4, from + (f(v) - a) * slope));
  s.inside = (v) => v >= Math.min(low, high) && v <= Math.max(low, high);
  s.invert = (px) => back(a + (px - from) / slope);
  return s;
}

function ticks([low, high], log, room) {
  const out = [];
  if (log && log !== true && Math.max(-low, high) > 3 * log) return symmetricTicks([low, high], log, room);
  if (log === true) {
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

// 0 and powers of ten on both sides of it, as many as fit.
function symmetricTicks([low, high], width, room) {
  const top = Math.floor(Math.log10(Math.max(-low, high)) + 1e-9), first = Math.min(top, Math.ceil(Math.log10(width) - 1e-9));
  const decades = top - first + 1, sides = low <= -width && high >= width ? 2 : 1, stride = Math.max(1, Math.ceil((decades * sides) / Math.max(1, room - 1)));
  const out = low <= 0 && high >= 0 ? [[0, "0"]] : [];
  for (let k = top; k >= first; k -= stride)
    for (const side of [-1, 1]) if (side * 10 ** k >= low && side * 10 ** k <= high) out.push([side * 10 ** k, (side < 0 ? "−" : "") + power(1, k)]);
  return out;
}

const superscript = (k) => String(k).replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(c)]);
const power = (d, k) => (k > -3 && k < 4 ? (d * 10 ** k).toFixed(Math.max(0, -k)) : (d === 1 ? "" : `${d}·`) + `10${superscript(k)}`);

function frame(p, tallest = 320) {
  const spec = p.spec, width = Math.max(200, p.node.clientWidth || 480), bare = !spec.axes;
  const wide = (t) => Math.max(0, ...t.map(([, s]) => s.length));
  const left = bare ? 1 : Math.max(24, 12 + 6.6 * wide(ticks(spec.ylim, spec.ylog, 5))), right = bare ? 1 : 12;
  const top = spec.ylabel ? 24 : 8, bottom = bare ? (spec.xlabel ? 20 : 1) : spec.xlabel ? 40 : 24;
  let w = width - left - right, high = Math.max(150, Math.min(tallest, w * spec.ratio));
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
